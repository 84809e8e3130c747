/** Targets, encryption, pushes, peers and profile against the stand-in (spec mesh.md §5, §9.3-9.5, §10). */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { waitUntil } from '../../../support/wait.ts';
import { openForeign, sealForeign } from '../foreign-crypto.ts';
import { newMember } from '../members.ts';
import { StandInBroker } from '../stand-in-broker.ts';
import { message, TestConnection } from './test-connection.ts';

const [alice, bob, carol] = [newMember('alice'), newMember('Bob'), newMember('carol')];
let broker: StandInBroker;
let sender: TestConnection;
let receiver: TestConnection;

beforeAll(async () => {
  broker = await StandInBroker.start({ members: [alice, bob, carol], pushAgainMs: 60_000 });
  sender = await TestConnection.open(alice, broker.url);
  receiver = await TestConnection.open(bob, broker.url);
});
afterAll(async () => {
  await sender[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
});
beforeEach(() => {
  receiver.messages.splice(0);
  receiver.events.splice(0);
});

/** The first message that the receiver has, and the frame that carried it. */
async function received(target: string, text: string) {
  expect(await sender.broker.send(message(target, text))).toMatchObject({ ok: true });
  const stored = await waitUntil(() => receiver.messages[0], `the message to ${target}`);
  return { stored, frame: broker.seen('send').at(-1) };
}

describe('who is meant', () => {
  test.each([
    ['a member key', bob.pubkey],
    ['a member key in capitals', bob.pubkey.toUpperCase()],
    ['a prefix of sixteen digits', bob.pubkey.slice(0, 16)],
    ['a prefix of 63 digits', bob.pubkey.slice(0, 63)],
    ['a display name', 'Bob'],
    ['a display name in another case', 'bOB'],
  ])('acceptance 13: %s reaches the member, and the text is not on the wire', async (_, target) => {
    const secret = `canary ${randomBytes(8).toString('hex')}`;
    const { stored, frame } = await received(target, secret);
    expect(stored.body).toBe(secret);
    expect(stored.meta).toEqual({ created_at: expect.stringMatching(/^\d{4}-/) });
    expect(frame?.targetSpec).toBe(bob.pubkey);
    const wire = broker.wire.join('\n');
    expect(wire).not.toContain(secret);
    expect(wire).not.toContain(Buffer.from(secret).toString('base64'));
    // A second implementation of crypto_box reads it with the receiver's key.
    const nonce = Buffer.from(String(frame?.nonce), 'base64');
    expect(openForeign(String(frame?.ciphertext), nonce, alice.pubkey, bob.secretKey)?.toString()).toBe(secret);
  });

  test.each([
    ['everybody', '*', null],
    ['a topic by its id', `#${'t'.repeat(20)}`, 't'.repeat(20)],
  ])('%s: the text is sent in clear and says so nowhere else', async (_, target, topic) => {
    const { stored, frame } = await received(target, 'to all');
    expect(stored).toMatchObject({ body: 'to all', topic, senderName: 'alice', senderPubkey: alice.pubkey });
    expect(frame).toMatchObject({ targetSpec: target, ciphertext: Buffer.from('to all').toString('base64') });
    expect(Buffer.from(String(frame?.nonce), 'base64')).toHaveLength(24);
    // Such a push has no key of the sender's: the broker's id is the key.
    expect(stored.clientMessageId).toBe(stored.brokerMessageId);
  });

  test('a group is passed on as it is written', async () => {
    expect(await sender.broker.send(message('@ops', 'to a group'))).toMatchObject({ ok: true });
    expect(broker.seen('send').at(-1)).toMatchObject({ targetSpec: '@ops' });
  });

  test.each([
    ['nobody', 'peer "nobody" not found'],
    ['#short', 'peer "#short" not found'],
    ['schema-auth-invalid', 'peer "schema-auth-invalid" not found'],
    ['0123456789abcdef', 'no peer matching prefix "0123456789abcdef"'],
  ])('%s: nobody is meant yet, so it is tried again', async (target, error) => {
    const sends = broker.seen('send').length;
    expect(await sender.broker.send(message(target, 'x'))).toEqual({ ok: false, error, permanent: false });
    expect(broker.seen('send')).toHaveLength(sends);
  });

  test('a key that is none is final', async () => {
    const key = '0'.repeat(64);
    expect(await sender.broker.send(message(key, 'x'))).toEqual({
      ...{ ok: false, error: `invalid member key ${key}`, permanent: true },
    });
  });

  test('two members of one name are ambiguous; of our own name the other is meant', async () => {
    await using twin = await TestConnection.open({ ...carol, displayName: 'bob' }, broker.url);
    expect(await sender.broker.send(message('bob', 'x'))).toEqual({
      ...{ ok: false, permanent: false },
      error: 'peer name "bob" is ambiguous (2 matches); use a member key',
    });
    expect(await twin.broker.send(message('bob', 'to the other'))).toMatchObject({ ok: true });
    await waitUntil(() => receiver.messages[0]?.body === 'to the other', 'the message');
  });

  test('somebody who came a moment ago is found, also by a sender that has just asked', async () => {
    await using keeping = await TestConnection.open({ ...alice, displayName: 'again' }, broker.url, {
      peersKeptMs: 60_000,
    });
    const lists = () => broker.seen('list_peers', 'again').length;
    await keeping.broker.send(message('bob', 'one'));
    await keeping.broker.send(message('bob', 'two'));
    expect(lists()).toBe(1);
    expect(await keeping.broker.send(message('carol', 'x'))).toMatchObject({ error: 'peer "carol" not found' });
    await using _ = await TestConnection.open(carol, broker.url);
    expect(await keeping.broker.send(message('carol', 'three'))).toMatchObject({ ok: true });
  });
});

describe('what comes', () => {
  test('acceptance 13: what was sealed for another key has no body and says decrypt_failed', async () => {
    const nonce = randomBytes(24);
    const ciphertext = sealForeign(Buffer.from('a text that is long enough'), nonce, carol.pubkey, alice.secretKey);
    broker.say({ ...push('wrong-key'), nonce: nonce.toString('base64'), ciphertext }, 'Bob');
    const stored = await waitUntil(() => receiver.messages[0], 'the message');
    expect(stored).toMatchObject({
      body: null,
      meta: { decrypt_failed: true, created_at: '2026-11-21T00:00:00.000Z' },
    });
    await waitUntil(
      () => broker.seen('client_ack').some(({ clientMessageId }) => clientMessageId === 'wrong-key'),
      'its ack',
    );
  });

  test('what another implementation sealed for us is read', async () => {
    const nonce = randomBytes(24);
    const ciphertext = sealForeign(Buffer.from('héllo'), nonce, bob.pubkey, alice.secretKey);
    broker.say({ ...push('foreign'), nonce: nonce.toString('base64'), ciphertext }, 'Bob');
    expect(await waitUntil(() => receiver.messages[0], 'the message')).toMatchObject({
      ...{ clientMessageId: 'foreign', brokerMessageId: 'm-foreign', mesh: 'smoke-test', body: 'héllo' },
      ...{ senderPubkey: alice.pubkey, senderName: alice.pubkey.slice(0, 8), topic: null, replyToId: null },
    });
  });

  test('a reply names what it answers, and a sender its name', async () => {
    broker.say({ ...push('reply'), replyToId: 'm-1', topic: 'ops', senderName: 'al' }, 'Bob');
    expect(await waitUntil(() => receiver.messages[0], 'the message')).toMatchObject({
      ...{ replyToId: 'm-1', topic: 'ops', senderName: 'al', body: 'in clear' },
    });
  });

  test('a byte order mark belongs to the text, and an empty text is one', async () => {
    broker.say({ ...push('mark'), ciphertext: Buffer.from('\ufeffx').toString('base64') }, 'Bob');
    broker.say({ ...push('empty'), ciphertext: '' }, 'Bob');
    await waitUntil(() => receiver.messages.length === 2, 'both messages');
    expect(receiver.messages.map(({ body }) => body)).toEqual(['\ufeffx', '']);
  });

  test('who comes, who leaves and what else the broker tells are events', async () => {
    const peer = { name: 'dave', pubkey: 'd'.repeat(64), groups: [] };
    for (const event of ['peer_joined', 'peer_left', 'mesh_renamed']) {
      broker.say({ type: 'push', subtype: 'system', event, eventData: peer, senderPubkey: 'system' }, 'Bob');
    }
    await waitUntil(() => receiver.events.length === 3, 'three events');
    expect(receiver.events).toEqual([
      { kind: 'peer_join', data: { event: 'peer_joined', ...peer } },
      { kind: 'peer_leave', data: { event: 'peer_left', ...peer } },
      { kind: 'system', data: { event: 'mesh_renamed', ...peer } },
    ]);
    expect(receiver.messages).toEqual([]);
  });

  test('who is working gets only what is urgent, and the rest when idle', async () => {
    receiver.broker.changeProfile({ status: 'working' });
    await waitUntil(() => broker.seen('set_status').length > 0, 'the status');
    await sender.broker.send(message('bob', 'later'));
    await sender.broker.send(message('bob', 'urgent', { priority: 'now' }));
    await waitUntil(() => receiver.messages.length === 1, 'the urgent message');
    receiver.broker.changeProfile({ status: 'idle' });
    await waitUntil(() => receiver.messages.length === 2, 'the other message');
    expect(receiver.messages.map(({ body }) => body)).toEqual(['urgent', 'later']);
  });
});

describe('peers and profile', () => {
  test('peers are passed on as the broker lists them', async () => {
    const peers = await sender.broker.peers();
    expect(peers.map(({ displayName }) => displayName)).toEqual(['alice', 'Bob']);
    expect(peers[1]).toMatchObject({ pubkey: bob.pubkey, hostname: 'h', channel: 'claudemesh-daemon', peerType: 'ai' });
  });

  test('many who ask at once share one answer', async () => {
    const before = broker.seen('list_peers').length;
    const answers = await Promise.all(Array.from({ length: 50 }, () => sender.broker.peers()));
    expect(answers.every((peers) => peers.length === 2)).toBe(true);
    expect(broker.seen('list_peers').length - before).toBe(1);
  });

  test('a broker that is silent has no peers, and names wait', async () => {
    await using impatient = await TestConnection.open({ ...alice, displayName: 'al' }, broker.url, { peersMs: 50 });
    broker.isSilent = true;
    try {
      expect(await impatient.broker.peers()).toEqual([]);
      expect(await impatient.broker.send(message('bob', 'x'))).toEqual({
        ...{ ok: false, error: 'the broker did not say who is connected', permanent: false },
      });
    } finally {
      broker.isSilent = false;
    }
  });

  test('summary, status and visible are frames of their own, the rest is one', async () => {
    const from = broker.frames.length;
    sender.broker.changeProfile({ summary: 's', status: 'dnd', visible: false, title: 'T', capabilities: ['x'] });
    await waitUntil(() => broker.frames.length >= from + 4, 'four frames');
    expect(broker.frames.slice(from, from + 4).map(({ frame }) => frame)).toEqual([
      { type: 'set_summary', summary: 's' },
      { type: 'set_status', status: 'dnd' },
      { type: 'set_visible', visible: false },
      { type: 'set_profile', title: 'T', capabilities: ['x'] },
    ]);
    sender.broker.changeProfile({ status: 'idle', visible: true });
    await waitUntil(() => broker.frames.length >= from + 6, 'two more');
  });
});

function push(key: string) {
  return {
    ...{ type: 'push', messageId: `m-${key}`, meshId: 'M1', senderPubkey: alice.pubkey, priority: 'now' },
    ...{ nonce: randomBytes(24).toString('base64'), ciphertext: Buffer.from('in clear').toString('base64') },
    ...{ createdAt: '2026-11-21T00:00:00.000Z', client_message_id: key, request_fingerprint: '0'.repeat(64) },
  };
}
