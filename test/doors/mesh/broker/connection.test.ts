/** The connection to a broker against the stand-in: hello, states, retries, close codes, acks (spec mesh.md §8, §9.1-9.3). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../../support/wait.ts';
import { newMember } from '../members.ts';
import { StandInBroker } from '../stand-in-broker.ts';
import { message, TestConnection } from './test-connection.ts';

const [alice, bob] = [newMember('alice'), newMember('Bob')];

describe('acks', () => {
  let broker: StandInBroker;
  let sender: TestConnection;
  let receiver: TestConnection;
  beforeAll(async () => {
    broker = await StandInBroker.start({ members: [alice, bob] });
    sender = await TestConnection.open(alice, broker.url);
    receiver = await TestConnection.open(bob, broker.url);
  });
  afterAll(async () => {
    await sender[Symbol.asyncDispose]();
    await receiver[Symbol.asyncDispose]();
    await broker[Symbol.asyncDispose]();
  });

  test("a send that the broker takes brings the broker's id, and what crossed the wire", async () => {
    const result = await sender.broker.send(message(bob.pubkey, 'taken'));
    expect(result).toMatchObject({ ok: true });
    const [frame] = broker.seen('send').slice(-1);
    expect(result).toMatchObject({ nonce: frame?.nonce, ciphertext: frame?.ciphertext });
    const stored = await waitUntil(() => receiver.messages.at(-1), 'the message');
    expect(stored).toMatchObject({ body: 'taken', senderPubkey: alice.pubkey, senderName: alice.pubkey.slice(0, 8) });
    expect(result).toMatchObject({ brokerMessageId: stored.brokerMessageId });
    expect(frame).toEqual({
      ...{ type: 'send', id: stored.clientMessageId, client_message_id: stored.clientMessageId },
      ...{ request_fingerprint: '0'.repeat(64), targetSpec: bob.pubkey, priority: 'next' },
      ...{ nonce: frame?.nonce, ciphertext: frame?.ciphertext },
    });
  });

  test('acceptance 10: after a dropped ack the same key is sent again, and the reader has the message once', async () => {
    await using impatient = await TestConnection.open(alice, broker.url, { ackMs: 1 });
    broker.dropAcks = 1;
    const before = receiver.messages.length;
    const again = message(bob.pubkey, 'once');
    expect(await impatient.broker.send(again)).toEqual({ ok: false, error: 'ack_timeout', permanent: false });
    await waitUntil(() => broker.dropAcks === 0, 'the broker to have it');
    expect(await sender.broker.send(again)).toMatchObject({ ok: true });
    expect(broker.seen('send').filter(({ id }) => id === again.clientMessageId)).toHaveLength(2);
    await waitUntil(() => broker.waiting === 0, 'both pushes to be acknowledged');
    expect(receiver.messages.slice(before).map(({ body }) => body)).toEqual(['once']);
  });

  test('a late ack and an ack for a key that was never sent change nothing', async () => {
    await using impatient = await TestConnection.open(alice, broker.url, { ackMs: 1 });
    broker.ackDelayMs = 100;
    const late = message(bob.pubkey, 'late');
    expect(await impatient.broker.send(late)).toMatchObject({ error: 'ack_timeout' });
    const answers = () =>
      broker.wire.filter((text) => text.startsWith('{"type":"ack"') && text.includes(late.clientMessageId));
    await waitUntil(() => answers().length === 1, 'the late ack');
    broker.ackDelayMs = 0;
    broker.say({ type: 'ack', id: 'never', messageId: 'x', queued: true });
    expect(await impatient.broker.peers()).toHaveLength(3);
    expect(await sender.broker.send(message(bob.pubkey, 'next'))).toMatchObject({ ok: true });
    await waitUntil(() => receiver.messages.at(-1)?.body === 'next', 'the message');
  });

  test('a message that the broker pushes twice is read once, and acknowledged each time', async () => {
    broker.pushTimes = 2;
    const before = receiver.messages.length;
    const twice = message(bob.pubkey, 'twice');
    await sender.broker.send(twice);
    broker.pushTimes = 1;
    const acks = () =>
      broker.seen('client_ack', 'Bob').filter(({ clientMessageId }) => clientMessageId === twice.clientMessageId);
    await waitUntil(() => acks().length === 2, 'two acknowledgements');
    expect(receiver.messages.slice(before).map(({ body }) => body)).toEqual(['twice']);
  });

  test('a message that the inbox does not take is not acknowledged, and the log says why once', async () => {
    receiver.inboxFault = new Error('database or disk is full\u001b[31m');
    const refused = [message(bob.pubkey, 'full'), message(bob.pubkey, 'full too')];
    for (const each of refused) {
      await sender.broker.send(each);
    }
    expect(await receiver.line('inbox_insert_failed')).toEqual({ err: 'database or disk is full\\x1b[31m' });
    receiver.inboxFault = undefined;
    await sender.broker.send(message(bob.pubkey, 'room'));
    await waitUntil(() => receiver.messages.at(-1)?.body === 'room', 'the next message');
    expect(receiver.logged('inbox_insert_failed')).toHaveLength(1);
    await waitUntil(() => broker.waiting === 2, 'the acknowledgement');
    // The broker still has both, and pushes them when the reader comes back.
    broker.close(1001, 'shutting down', 'Bob');
    await waitUntil(() => broker.waiting === 0, 'both to be acknowledged');
    expect(receiver.messages.slice(-2).map(({ body }) => body)).toEqual(['full', 'full too']);
  });

  test.each([
    ['rate_limit: max 60 msg/min (burst 10) — slow down', false],
    ['no connected peer for target (not online, or targetSpec is your own key without another session)', false],
    ['payload too large: 70005 bytes > MAX_MESSAGE_BYTES=65536', true],
    ['blocked by recipient grants (sender lacks dm capability)', true],
    ['FORBIDDEN', true],
    ['no peer "schema-bot" here', false],
    ["no peer 'invalid' here", false],
    ["isn't valid: schema doesn't match", true],
  ])('the answer %j is final: %j', async (error, permanent) => {
    broker.errors.push(error);
    expect(await sender.broker.send(message(bob.pubkey, 'x'))).toEqual({ ok: false, error, permanent });
  });

  test('acceptance 12: 60 000 bytes are refused before they are sent, and the connection stays', async () => {
    const sends = broker.seen('send').length;
    for (const target of [bob.pubkey, 'nobody at all', '*']) {
      expect(await sender.broker.send(message(target, 'x'.repeat(60_000)))).toEqual({
        ...{ ok: false, error: 'payload_too_large', permanent: true },
      });
    }
    expect(broker.seen('send')).toHaveLength(sends);
    expect(sender.broker.state).toBe('open');
  });

  test('acceptance 12: the longest frame that is sent has 65 536 bytes, and one more is refused', async () => {
    const probe = message(bob.pubkey, 'x', { clientMessageId: 'border-1' });
    await sender.broker.send(probe);
    const overhead = JSON.stringify(broker.seen('send').at(-1)).length - 24;
    const bytes = Math.floor((65_536 - overhead) / 4) * 3 - 16;
    const fits = await sender.broker.send(message(bob.pubkey, 'x'.repeat(bytes), { clientMessageId: 'border-2' }));
    expect(fits).toMatchObject({ ok: true });
    const tooLong = message(bob.pubkey, 'x'.repeat(bytes + 3), { clientMessageId: 'border-3' });
    expect(await sender.broker.send(tooLong)).toMatchObject({ ok: false, error: 'payload_too_large' });
  });

  test('messages of one sender are read in the order in which they were sent', async () => {
    const before = receiver.messages.length;
    const texts = Array.from({ length: 100 }, (_, index) => `ordered ${index}`);
    for (const text of texts) {
      await sender.broker.send(message('bob', text));
    }
    await waitUntil(() => receiver.messages.length === before + texts.length, 'all messages');
    expect(receiver.messages.slice(before).map(({ body }) => body)).toEqual(texts);
  });
});

describe('states', () => {
  test('connecting, open, reconnecting, open: a broker that is started again is found again', async () => {
    await using broker = await StandInBroker.start({ members: [alice] });
    await using client = await TestConnection.open(alice, broker.url);
    await broker.stop();
    await client.until('reconnecting');
    await broker.restart();
    await client.until('open');
    expect(client.states).toEqual(['connecting', 'open', 'reconnecting', 'open']);
  });

  test('pauses double from the first to the longest, and begin anew after hello_ack', async () => {
    await using broker = await StandInBroker.start({ members: [alice] });
    broker.closeAtHello = { code: 1001 };
    await using client = await TestConnection.start(alice, broker.url, { reconnectMs: 5, reconnectMaxMs: 150 });
    const waits = () => client.logged('broker_reconnect_scheduled').map((fields) => fields.wait_ms);
    await waitUntil(() => waits().length >= 7, 'seven pauses');
    expect(waits().slice(0, 7)).toEqual([5, 10, 20, 40, 80, 150, 150]);
    broker.closeAtHello = undefined;
    await client.until('open');
    const count = waits().length;
    broker.breakAll();
    await waitUntil(() => waits().length > count, 'another pause');
    expect(waits()[count]).toBe(5);
  });

  test('the product pauses 1, 2, 4 … 30 s', async () => {
    const { meshTimings } = await import('../../../../src/doors/mesh/timings.ts');
    expect(meshTimings).toMatchObject({ reconnectMs: 1000, reconnectMaxMs: 30_000, ackMs: 15_000, helloAckMs: 5_000 });
    expect(meshTimings).toMatchObject({ silenceMs: 75_000, peersMs: 5_000 });
  });

  test.each([
    [1008, 'bad_signature'],
    [1008, 'malformed'],
    [1008, 'unauthorized'],
    [1008, 'capacity'],
    [1008, 'bad_session_pubkey'],
    [1000, 'session_replaced'],
    [1000, 'disconnected'],
    [1001, 'shutting down'],
    [4010, 'feature_unavailable'],
    [1011, ''],
    [1013, 'try again'],
  ])('after close %i %s it connects again', async (code, reason) => {
    await using broker = await StandInBroker.start({ members: [alice] });
    await using client = await TestConnection.open(alice, broker.url);
    broker.close(code, reason);
    expect(await client.line('broker_reconnect_scheduled')).toMatchObject({ code, reason });
    await client.until('open');
    expect(broker.hellos).toBe(2);
  });

  test.each([
    [4001, 'kicked'],
    [4002, 'banned'],
  ])('acceptance 18: after close %i nobody connects again, and the state is closed', async (code, reason) => {
    await using broker = await StandInBroker.start({ members: [alice] });
    await using client = await TestConnection.open(alice, broker.url, { reconnectMs: 1, ackMs: 60_000 });
    broker.closeAtSend.push({ code, reason });
    const waiting = client.broker.whenOpen(new AbortController().signal);
    expect(await waiting).toBe(true);
    expect(await client.broker.send(message('*', 'last'))).toEqual({
      ...{ ok: false, error: `broker_disconnected_${code}`, permanent: false },
    });
    await client.until('closed');
    expect(await client.line('broker_closed_for_good')).toEqual({ code, reason });
    expect(client.logged('broker_reconnect_scheduled')).toEqual([]);
    expect(await client.broker.whenOpen(new AbortController().signal)).toBe(false);
    expect(await client.broker.send(message('*', 'later'))).toMatchObject({ error: 'broker_not_connected' });
    // Another daemon comes and goes meanwhile; the banned one does not knock.
    for (let round = 0; round < 3; round++) {
      await using other = await TestConnection.start({ ...alice, displayName: `other ${round}` }, broker.url);
      await other.until('open');
    }
    expect(broker.hellos).toBe(4);
  });

  test('a send that waits when the connection breaks is told the code, and may be tried again', async () => {
    await using broker = await StandInBroker.start({ members: [alice] });
    await using client = await TestConnection.open(alice, broker.url);
    broker.dropAcks = 1;
    const sent = client.broker.send(message('*', 'lost'));
    await waitUntil(() => broker.seen('send').length === 1, 'the send');
    broker.breakAll();
    expect(await sent).toEqual({ ok: false, error: 'broker_disconnected_1006', permanent: false });
  });

  test('a stop tells those who wait, closes the socket, and is done twice without harm', async () => {
    await using broker = await StandInBroker.start({ members: [alice] });
    const client = await TestConnection.open(alice, broker.url);
    broker.dropAcks = 1;
    const sent = client.broker.send(message('*', 'lost'));
    await waitUntil(() => broker.seen('send').length === 1, 'the send');
    await Promise.all([client.broker.close(), client.broker.close()]);
    expect(await sent).toEqual({ ok: false, error: 'daemon_shutdown', permanent: false });
    await waitUntil(() => broker.connected.length === 0, 'the socket to be gone');
    expect(client.states.at(-1)).toBe('closed');
    await client.broker.close();
  });

  test('a stop while the connection is being made ends at once', async () => {
    const broker = await StandInBroker.start({ members: [alice] });
    await broker.stop();
    const client = await TestConnection.start(alice, broker.url, { reconnectMs: 60_000 });
    await client.line('broker_reconnect_scheduled');
    await client.broker.close();
    const early = await TestConnection.start(alice, broker.url);
    await early.broker.close();
    expect(early.states).toEqual(['connecting', 'closed']);
    expect(early.log).toEqual([]);
  });

  test('whoever waits for the connection is let go when it stands, and when the wait is ended', async () => {
    const broker = await StandInBroker.start({ members: [alice] });
    await using _ = broker;
    await broker.stop();
    await using client = await TestConnection.start(alice, broker.url);
    const ended = new AbortController();
    const [given, kept] = [client.broker.whenOpen(ended.signal), client.broker.whenOpen(new AbortController().signal)];
    ended.abort();
    expect(await given).toBe(false);
    await broker.restart();
    expect(await kept).toBe(true);
  });

  test('a broker that does not answer hello is left, and the log says so', async () => {
    await using broker = await StandInBroker.start({ members: [alice] });
    broker.isSilent = true;
    await using client = await TestConnection.start(alice, broker.url, { helloAckMs: 100 });
    expect(await client.line('broker_hello_ack_timeout')).toEqual({ wait_ms: 100 });
    broker.isSilent = false;
    await client.until('open');
  });

  test('a broker that says nothing and does not ping is left after the silence; a ping keeps the connection', async () => {
    await using quiet = await StandInBroker.start({ members: [alice] });
    await using pinging = await StandInBroker.start({ members: [alice], pingMs: 20 });
    await using kept = await TestConnection.open(alice, pinging.url, { silenceMs: 300 });
    await using left = await TestConnection.open(alice, quiet.url, { silenceMs: 300 });
    expect(await left.line('broker_ws_error')).toEqual({ err: 'no frame and no ping for 0.3 s' });
    // Our own process may stand still for as long; then the ping comes too late, and the comparison is made again.
    await waitUntil(async () => {
      const [changes, hellos] = [kept.states.length, quiet.hellos];
      await waitUntil(() => quiet.hellos > hellos, 'another hello');
      return kept.states.length === changes && kept.broker.state === 'open';
    }, 'one connection to be left while the other is kept');
  });

  test('acceptance 17: a clock two minutes off leaves the state reconnecting, and the log names timestamp_skew', async () => {
    await using broker = await StandInBroker.start({ members: [alice] });
    broker.skewMs = 120_000;
    await using client = await TestConnection.start(alice, broker.url);
    expect(await client.line('broker_reconnect_scheduled')).toMatchObject({ code: 1008, reason: 'timestamp_skew' });
    expect(client.broker.state).toBe('reconnecting');
    broker.skewMs = -59_000;
    await client.until('open');
    expect(new Set(broker.refusals)).toEqual(new Set(['timestamp_skew']));
  });

  test('a broker that does not know us, and one that has another key for us, say why', async () => {
    await using broker = await StandInBroker.start({ members: [bob] });
    await using unknown = await TestConnection.start(alice, broker.url);
    expect(await unknown.line('broker_reconnect_scheduled')).toMatchObject({ code: 1008, reason: 'unauthorized' });
    await using wrong = await TestConnection.start({ ...alice, memberId: bob.memberId }, broker.url);
    expect(await wrong.line('broker_reconnect_scheduled')).toMatchObject({ code: 1008, reason: 'unauthorized' });
  });

  test('an entry of config.json that no broker could accept is told, and nobody is asked', async () => {
    await using broker = await StandInBroker.start({ members: [alice] });
    await using client = await TestConnection.start({ ...alice, secretKey: bob.secretKey }, broker.url);
    expect(client.broker.state).toBe('closed');
    expect(client.states).toEqual(['closed']);
    expect(client.logged('broker_config_invalid')).toMatchObject([{ mesh: 'smoke-test' }]);
    expect(JSON.stringify(client.log)).not.toContain(bob.secretKey.slice(0, 64));
    expect(broker.frames).toEqual([]);
  });
});
