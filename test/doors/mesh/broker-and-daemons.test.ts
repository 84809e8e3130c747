/** Daemons and their broker: what crosses the wire, clocks, bans, hostile texts (spec mesh.md, acceptance 10, 13, 17, 18, 20). */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { full } from '../../faults/support/length.ts';
import { waitUntil } from '../../support/wait.ts';
import { sealForeign } from './foreign-crypto.ts';
import { newMember } from './members.ts';
import { inboxOf, untilRow } from './rows.ts';
import { StandInBroker } from './stand-in-broker.ts';
import { type EventReader, TestDaemon } from './test-daemon.ts';

const [alice, bob, carol] = [newMember('alice'), newMember('bob'), newMember('carol')];
/** Of what would take minutes. */
const timings = { reconnectMs: 50, reconnectMaxMs: 100, retryBaseMs: 50, retryMaxMs: 200, ackMs: 500, drainTickMs: 50 };

let broker: StandInBroker;
let sender: TestDaemon;
let receiver: TestDaemon;
let events: EventReader;

beforeAll(async () => {
  broker = await StandInBroker.start({ members: [alice, bob, carol] });
  const options = { brokerUrl: broker.url, timings };
  [sender, receiver] = await Promise.all([
    TestDaemon.start({ ...options, member: alice }),
    TestDaemon.start({ ...options, member: bob }),
  ]);
  events = await receiver.events();
  await Promise.all([sender, receiver].map((daemon) => untilBroker(daemon, 'open')));
});

afterAll(async () => {
  events[Symbol.dispose]();
  await Promise.all([sender[Symbol.asyncDispose](), receiver[Symbol.asyncDispose]()]);
  await broker[Symbol.asyncDispose]();
});

function untilBroker(daemon: TestDaemon, state: string): Promise<unknown> {
  return waitUntil(async () => {
    const { body } = await daemon.request('/v1/health');
    return (body?.brokers as Record<string, string> | undefined)?.['smoke-test'] === state;
  }, `the broker to be ${state}\n${daemon.output}`);
}

async function arrived(key: string) {
  const look = async () => (await inboxOf(receiver)).find((item) => item.client_message_id === key);
  return waitUntil(look, `${key} to arrive\n${receiver.output}`);
}

test('acceptance 10: the broker drops an ack: the same key goes out again; one row and one event at the receiver', async () => {
  broker.dropAcks = 1;
  expect((await sender.send({ to: 'bob', message: 'hi', client_message_id: 'dropped' })).status).toBe(202);
  const row = await untilRow(sender, 'dropped', { status: 'done', last_error: null });
  expect(row.attempts).toBeGreaterThanOrEqual(2);
  const sends = broker.seen('send').filter(({ id }) => id === 'dropped');
  expect(sends.length).toBe(row.attempts);
  expect(new Set(sends.map(({ request_fingerprint }) => request_fingerprint)).size).toBe(1);
  const acks = () => broker.seen('client_ack').filter(({ clientMessageId }) => clientMessageId === 'dropped');
  await waitUntil(() => acks().length === sends.length, 'every push to be acknowledged');
  expect((await inboxOf(receiver)).filter((item) => item.client_message_id === 'dropped')).toHaveLength(1);
  expect(events.of('message').filter(({ data }) => data.client_message_id === 'dropped')).toHaveLength(1);
});

test('acceptance 13 and 20: the text of a direct message is in the inbox, and neither on the wire nor in a log or a listing of processes', async () => {
  const text = `canary ${randomBytes(12).toString('hex')}`;
  await sender.send({ to: 'bob', message: text, client_message_id: 'secret' });
  expect(await arrived('secret')).toMatchObject({ body: text, sender_pubkey: alice.pubkey });
  await waitUntil(() => events.of('message').some(({ data }) => data.body === text), 'the event');
  const wire = broker.wire.join('\n');
  const secrets = [alice.secretKey, alice.secretKey.slice(0, 64), bob.secretKey.slice(0, 64), sender.token];
  for (const secret of [text, Buffer.from(text).toString('base64'), ...secrets]) {
    expect(wire).not.toContain(secret);
  }
  const said = [sender, receiver].flatMap((daemon) => {
    const told = ['cmdline', 'environ'].map((name) => readFileSync(`/proc/${daemon.pid}/${name}`, 'latin1'));
    return [daemon.output, ...told];
  });
  for (const secret of [text, ...secrets]) {
    expect(said.join('\n')).not.toContain(secret);
  }
});

test('acceptance 13: what was sealed for another key is in the inbox without a body', async () => {
  const nonce = randomBytes(24);
  const ciphertext = sealForeign(Buffer.from('not for bob, but long enough'), nonce, carol.pubkey, alice.secretKey);
  broker.say(
    {
      ...{ type: 'push', messageId: 'm-wrong', senderPubkey: alice.pubkey, client_message_id: 'wrong' },
      ...{ nonce: nonce.toString('base64'), ciphertext, createdAt: '2026-11-21T00:00:00.000Z' },
    },
    'bob',
  );
  expect(await arrived('wrong')).toMatchObject({ body: null });
});

test('acceptance 17: the clock two minutes off: reconnecting, the log names timestamp_skew, sends stay queued and arrive later', async () => {
  broker.skewMs = 120_000;
  broker.close(1001, 'shutting down', 'alice');
  await untilBroker(sender, 'reconnecting');
  await waitUntil(
    () => sender.logged('broker_reconnect_scheduled').some(({ reason }) => reason === 'timestamp_skew'),
    'the line in the log',
  );
  const { status, body } = await sender.send({ to: 'bob', message: 'later', client_message_id: 'skewed' });
  expect([status, body?.status]).toEqual([202, 'queued']);
  expect(await untilRow(sender, 'skewed', { status: 'pending' })).toMatchObject({ attempts: 0 });
  broker.skewMs = 0;
  await untilRow(sender, 'skewed', { status: 'done' });
  expect(await arrived('skewed')).toMatchObject({ body: 'later' });
});

test("a broker's text is one line of the log, with nothing in it that a terminal obeys", async () => {
  broker.errors.push('forbidden\u001b[31m\n[ERROR] forged\u009b31m\u202e');
  await sender.send({ to: bob.pubkey, message: 'x', client_message_id: 'hostile' });
  await untilRow(sender, 'hostile', { status: 'dead' });
  await waitUntil(() => sender.logged('drain_permanent_failure').length > 0, 'the line');
  expect(sender.output).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  const { stdout } = await sender.run(['outbox', '--failed']);
  expect(stdout).toContain('forbidden');
  expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
});

test('acceptance 18: banned: nobody connects again, health says closed, sends are kept, and a new start tries again', async () => {
  const before = broker.hellos;
  broker.close(4002, 'banned', 'bob');
  await untilBroker(receiver, 'closed');
  expect(receiver.logged('broker_closed_for_good')).toMatchObject([{ code: 4002, reason: 'banned' }]);
  await waitUntil(() => events.of('broker_status').at(-1)?.data.status === 'closed', 'the event');
  expect((await receiver.send({ to: '*', message: 'kept', client_message_id: 'kept' })).status).toBe(202);
  // Twenty times the longest pause, by the clock of another daemon that comes back so often.
  for (let round = 0; round < 20; round++) {
    const hellos = broker.hellos;
    broker.close(1001, 'shutting down', 'alice');
    await waitUntil(() => broker.hellos > hellos, 'the other daemon to come back');
  }
  expect(broker.hellos).toBe(before + 20);
  expect(broker.connected).not.toContain('bob');
  expect(await untilRow(receiver, 'kept', { status: 'pending' })).toMatchObject({ attempts: 0 });
  expect(await receiver.stopped()).toBe(0);
  await receiver.launch();
  await untilRow(receiver, 'kept', { status: 'done' });
});

if (full) {
  // With the product's own pauses: a minute and a half.
  test('acceptance 10 and 18, with the pauses of the product: 15 s and 1 s to the second send; no hello in 60 s', async () => {
    await using own = await StandInBroker.start({ members: [alice, bob] });
    await using patient = await TestDaemon.start({ member: alice, brokerUrl: own.url });
    await using reader = await TestDaemon.start({ member: bob, brokerUrl: own.url });
    await waitUntil(() => own.connected.length === 2, 'both daemons to be connected');
    own.dropAcks = 1;
    await patient.send({ to: bob.pubkey, message: 'hi', client_message_id: 'slow' });
    await waitUntil(() => own.seen('send').length === 1, 'the first send');
    const first = performance.now();
    await waitUntil(() => own.seen('send').length === 2, 'the second send', { timeoutMs: 60_000 });
    expect(performance.now() - first).toBeGreaterThanOrEqual(15_900);
    await waitUntil(() => own.waiting === 0, 'the receiver to have acknowledged');
    expect(await inboxOf(reader)).toHaveLength(1);
    const hellos = own.hellos;
    own.close(4002, 'banned', 'bob');
    await untilBroker(reader, 'closed');
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    expect(own.hellos).toBe(hellos);
    expect((await reader.request('/v1/health')).body).toMatchObject({ brokers: { 'smoke-test': 'closed' } });
  }, 180_000);
}
