/** `GET /v1/events` (spec mesh.md §11): at once, to everybody who listens, and nobody waits for a slow one. */
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { meshTimings } from '../../../src/doors/mesh/timings.ts';
import { waitUntil } from '../../support/wait.ts';
import { newMember } from './members.ts';
import { StandInBroker } from './stand-in-broker.ts';
import { TestDaemon } from './test-daemon.ts';

const [alice, bob] = [newMember('alice'), newMember('bob')];
let broker: StandInBroker;
let daemon: TestDaemon;
let sender: TestDaemon;

beforeAll(async () => {
  broker = await StandInBroker.start({ members: [alice, bob] });
  daemon = await TestDaemon.start({ member: alice, brokerUrl: broker.url, timings: { keepaliveMs: 200 } });
  sender = await TestDaemon.start({ member: bob, brokerUrl: broker.url });
  await waitUntil(() => broker.connected.length === 2, 'both daemons to be connected');
});

afterAll(async () => {
  await sender[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
});

test('acceptance 14: connected at once, kept alive, and told of a message', async () => {
  using events = await daemon.events();
  expect(events.text.startsWith(': connected\n\n')).toBe(true);
  expect(events.headers).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-transform',
    connection: 'keep-alive',
    'x-accel-buffering': 'no',
  });
  await waitUntil(() => events.text.includes(': keepalive\n\n'), 'a sign of life');
  await sender.send({ to: alice.pubkey, message: 'grüezi\nmitenand', client_message_id: 'k1' });
  const [event] = await waitUntil(() => events.of('message').length > 0 && events.of('message'), 'the message');
  const [item] = await daemon.items('/v1/inbox');
  expect(event?.data).toEqual({
    ts: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    id: item?.id,
    mesh: 'smoke-test',
    client_message_id: 'k1',
    broker_message_id: item?.broker_message_id,
    sender_pubkey: bob.pubkey,
    sender_name: bob.pubkey.slice(0, 8),
    topic: null,
    reply_to_id: null,
    body: 'grüezi\nmitenand',
    created_at: expect.stringMatching(/^\d{4}-/),
  });
  // One line, whatever is in it, that begins with the time.
  expect(events.text).toMatch(/^data: \{"ts":"[^\n]*\}$/m);
});

test('each listener counts from 1 and is told of every kind', async () => {
  using first = await daemon.events();
  broker.say({
    ...{ type: 'push', subtype: 'system', messageId: 'm', senderPubkey: 'system', priority: 'low', nonce: '' },
    ...{ ciphertext: '', event: 'mesh_renamed', eventData: { name: 'x' } },
  });
  await waitUntil(() => first.of('system').length > 0, 'a system event');
  using second = await daemon.events();
  await sender.stopped();
  // The broker tells of somebody who has gone only later, so a break of our own connection is the next event.
  broker.close(1001, 'shutting down', 'alice');
  for (const events of [first, second]) {
    await waitUntil(
      () => events.of('broker_status').some(({ data }) => data.status === 'open'),
      'the connection again',
    );
  }
  await sender.launch();
  for (const events of [first, second]) {
    await waitUntil(() => events.of('peer_join').length > 0, 'somebody to join');
    expect(events.all.map(({ id }) => id)).toEqual(events.all.map((_, index) => index + 1));
    expect(events.of('broker_status').map(({ data }) => data.status)).toEqual(['reconnecting', 'open']);
    expect(events.of('peer_join')[0]?.data).toMatchObject({ mesh: 'smoke-test', event: 'peer_joined', name: 'bob' });
  }
  expect(first.of('system')[0]?.data).toMatchObject({ mesh: 'smoke-test', event: 'mesh_renamed', name: 'x' });
});

test('a listener that does not read is cut at 1 MiB, told in the log, and the others go on', async () => {
  using events = await daemon.events();
  const slow = connect({ path: daemon.socket });
  slow.on('error', () => {});
  slow.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  slow.pause();
  const body = 'x'.repeat(40_000);
  const seen = () => events.of('message').length;
  let sent = 0;
  while (daemon.logged('event_stream_cut').length === 0) {
    expect(sent).toBeLessThan(200);
    broker.say(
      {
        ...{ type: 'push', messageId: `slow-${sent++}`, meshId: 'M1', senderPubkey: bob.pubkey, priority: 'now' },
        ...{ nonce: '', ciphertext: Buffer.from(body).toString('base64'), createdAt: new Date().toISOString() },
      },
      'alice',
    );
    await waitUntil(() => seen() >= sent, `message ${sent} to be seen by who reads`);
  }
  expect(sent).toBeGreaterThan(25);
  expect(daemon.logged('event_stream_cut')).toMatchObject([
    { level: 'warn', limit_bytes: 1_048_576, remedy: expect.stringContaining('/v1/inbox?since=') },
  ]);
  expect(events.hasEnded).toBe(false);
  // What it has missed is in the inbox.
  expect(await daemon.items('/v1/inbox?limit=1000')).toHaveLength(sent + 1);
  slow.resume();
  await waitUntil(() => slow.destroyed, 'the slow one to see its end');
});

test('acceptance 14: down ends open streams, and is not held up by those who do not read', async () => {
  using events = await daemon.events();
  const idle = connect({ path: daemon.socket });
  const halfSent = connect({ host: '127.0.0.1', port: daemon.tcpPort });
  const unread = connect({ path: daemon.socket });
  for (const socket of [idle, halfSent, unread]) {
    socket.on('error', () => {});
  }
  halfSent.write('POST /v1/send HTTP/1.1\r\nHost: localhost\r\n');
  unread.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  unread.pause();
  // A broker that answers nothing, not even the close of a connection.
  broker.isSilent = true;
  const { code, stdout } = await daemon.run(['down', '--json']);
  expect({ code, stdout: JSON.parse(stdout) }).toEqual({ code: 0, stdout: { stopped: true, pid: daemon.pid } });
  expect(await daemon.ended()).toBe(0);
  await waitUntil(() => events.hasEnded, 'the stream to end');
  expect(daemon.logged('broker_status').at(-1)).toMatchObject({ status: 'closed' });
  // All that the end waits for; the contract's bound is 3 s.
  expect(meshTimings.lastAnswersMs + meshTimings.brokerCloseMs).toBeLessThan(2000);
  expect(daemon.leftFiles).toEqual([]);
  for (const socket of [idle, halfSent, unread]) {
    socket.destroy();
  }
});
