/** Messages between two daemons while brokers, networks and daemons fail (spec mesh.md §7–10, fault 23). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requireKnownFailpoints } from '../../support/known-failpoints.ts';
import { waitUntil } from '../../support/wait.ts';
import { newMember } from './members.ts';
import { inboxOf, outboxOf, rowOf, untilRow } from './rows.ts';
import { StandInBroker } from './stand-in-broker.ts';
import { TestDaemon } from './test-daemon.ts';

const alice = newMember('alice');
const bob = newMember('bob');
/** Of what would take minutes. */
const timings = {
  reconnectMs: 50,
  reconnectMaxMs: 200,
  retryBaseMs: 50,
  retryMaxMs: 400,
  ackMs: 1000,
  drainTickMs: 50,
};

let broker: StandInBroker;
let sender: TestDaemon;
let receiver: TestDaemon;

beforeAll(async () => {
  broker = await StandInBroker.start({ members: [alice, bob], pushAgainMs: 300 });
  const options = { brokerUrl: broker.url, timings };
  [sender, receiver] = await Promise.all([
    TestDaemon.start({ ...options, member: alice }),
    TestDaemon.start({ ...options, member: bob }),
  ]);
});

afterAll(async () => {
  await Promise.all([sender[Symbol.asyncDispose](), receiver[Symbol.asyncDispose]()]);
  await broker[Symbol.asyncDispose]();
});

/** A message to the receiver; its text is its key. */
function message(key: string): object {
  return { to: bob.pubkey, message: key, client_message_id: key };
}

/** How often each key of `keys` is in the inbox of the receiver, once all are there. */
async function untilArrived(keys: readonly string[]): Promise<readonly unknown[]> {
  const mine = async (): Promise<readonly unknown[]> =>
    (await inboxOf(receiver)).map(({ body }) => body).filter((body) => keys.includes(String(body)));
  await waitUntil(async () => new Set(await mine()).size === keys.length, `${keys.join(', ')} to arrive`);
  return await mine();
}

describe('fault 23: the sender dies by SIGKILL', () => {
  test.each(['mesh.accept.before', 'mesh.accept', 'mesh.drain.inflight', 'mesh.drain.ack', 'mesh.drain.done'])(
    'at %s: each message is once in the inbox, in order',
    async (point) => {
      requireKnownFailpoints(`${point}=kill`);
      const keys = [1, 2, 3].map((at) => `${point} ${at}`);
      await sender.killed();
      await sender.launch({ HOLDFAST_FAILPOINTS: `${point}=1*off->kill` });
      const accepted: string[] = [];
      for (const key of keys) {
        const answer = await sender.send(message(key)).catch(() => undefined);
        if (answer?.status === 202) {
          accepted.push(key);
        }
      }
      expect(await sender.ended()).toBe(-1);
      await sender.launch();
      expect(sender.output).toContain('recovered stale pid file; starting fresh');
      // What was answered by 202 is there before anybody asks again.
      const rows = await outboxOf(sender);
      expect(accepted.filter((key) => !rows.some((row) => row.client_message_id === key))).toEqual([]);
      for (const key of keys) {
        expect([200, 202]).toContain((await sender.send(message(key))).status);
      }
      expect(await untilArrived(keys)).toEqual(keys);
      for (const key of keys) {
        await untilRow(sender, key, { status: 'done' });
        expect((await sender.send(message(key))).body).toMatchObject({ duplicate: true });
      }
    },
  );

  test('acceptance 3: while the broker has not answered yet: the row that was in flight is delivered', async () => {
    broker.dropAcks = 1;
    await sender.send(message('in flight'));
    await untilRow(sender, 'in flight', { status: 'inflight' });
    await sender.killed();
    await sender.launch();
    expect(sender.output).toContain('recovered stale pid file; starting fresh');
    expect(await untilRow(sender, 'in flight', { status: 'done' })).toMatchObject({ attempts: 2 });
    expect(await untilArrived(['in flight'])).toEqual(['in flight']);
  });
});

describe('a full disk', () => {
  const failed = 'error(ENOSPC)';

  test('refuses a send with 500, and the same request is accepted when there is room again', async () => {
    requireKnownFailpoints(`mesh.accept.before=${failed}`);
    await sender.killed();
    await sender.launch({ HOLDFAST_FAILPOINTS: `mesh.accept.before=1*${failed}` });
    const refused = await sender.send(message('no room'));
    expect([refused.status, refused.body]).toEqual([500, { error: 'internal' }]);
    expect(await rowOf(sender, 'no room')).toBeUndefined();
    expect(sender.logged('ipc_send_failed')).toMatchObject([{ level: 'error', route: 'POST /v1/send' }]);
    expect((await sender.send(message('no room'))).status).toBe(202);
    expect(await untilArrived(['no room'])).toEqual(['no room']);
  });

  test('does not lose what became of a message that was sent, and is told once', async () => {
    requireKnownFailpoints(`mesh.drain.write=${failed}`);
    await sender.killed();
    await sender.launch({ HOLDFAST_FAILPOINTS: `mesh.drain.write=5*${failed}` });
    await sender.send(message('not written down'));
    expect(await untilRow(sender, 'not written down', { status: 'done' })).toMatchObject({ attempts: 1 });
    expect(sender.logged('drain_tick_failed')).toHaveLength(1);
  });
});

describe('fault 23: the receiver dies by SIGKILL', () => {
  test.each(['mesh.inbox.before', 'mesh.inbox'])(
    'at %s: each message is once in its inbox, in order',
    async (point) => {
      requireKnownFailpoints(`${point}=kill`);
      const keys = [1, 2, 3].map((at) => `${point} ${at}`);
      await receiver.killed();
      await receiver.launch({ HOLDFAST_FAILPOINTS: `${point}=1*off->kill` });
      for (const key of keys) {
        expect((await sender.send(message(key))).status).toBe(202);
      }
      expect(await receiver.ended()).toBe(-1);
      await receiver.launch();
      expect(await untilArrived(keys)).toEqual(keys);
      await waitUntil(() => broker.waiting === 0, 'every message to be acknowledged to the broker');
      expect(await untilArrived(keys)).toEqual(keys);
    },
  );
});

describe('the broker', () => {
  test.each([...[1000, 1001, 1008, 1009, 1011, 4010]])(
    'closes with %i after it has taken a message: it is once in the inbox',
    async (code) => {
      const key = `closed with ${code}`;
      broker.closeAtSend.push({ code, reason: 'test' });
      await sender.send(message(key));
      await untilRow(sender, key, { status: 'done' });
      expect(await untilArrived([key])).toEqual([key]);
    },
  );

  test('pushes everything twice: one item and one event of each', async () => {
    broker.pushTimes = 2;
    using events = await receiver.events();
    const keys = [1, 2, 3].map((at) => `twice ${at}`);
    for (const key of keys) {
      await sender.send(message(key));
    }
    expect(await untilArrived(keys)).toEqual(keys);
    broker.pushTimes = 1;
    await sender.send(message('the last'));
    await untilArrived(['the last']);
    await waitUntil(() => events.of('message').length >= 4, 'the events');
    expect(events.of('message').map(({ data }) => data.body)).toEqual([...keys, 'the last']);
  });

  test('sends without end: programs get their answers meanwhile', async () => {
    const pushes = 2000;
    const acknowledged = broker.seen('client_ack').length;
    for (let at = 0; at < pushes; at++) {
      const ciphertext = Buffer.from(`flood ${at}`).toString('base64');
      broker.say({ type: 'push', messageId: `flood-${at}`, senderPubkey: alice.pubkey, nonce: '', ciphertext }, 'bob');
    }
    let answers = 0;
    while (broker.seen('client_ack').length < acknowledged + pushes) {
      expect((await receiver.request('/v1/health')).status).toBe(200);
      answers++;
    }
    expect(answers).toBeGreaterThan(4);
  });

  test('loses a message that it never acknowledges: those behind it wait, so the order is kept', async () => {
    broker.dropSends = 1;
    const keys = [1, 2, 3].map((at) => `lost ${at}`);
    for (const key of keys) {
      await sender.send(message(key));
    }
    expect(await untilArrived(keys)).toEqual(keys);
    expect(await rowOf(sender, 'lost 1')).toMatchObject({ attempts: 2 });
  });

  test('acceptance 11: says that a message is too large: it is dead at once, and a requeue makes a new row', async () => {
    broker.errors.push('payload too large: 70005 bytes > MAX_MESSAGE_BYTES=65536');
    await sender.send(message('too large'));
    const dead = await untilRow(sender, 'too large', { status: 'dead', attempts: 1 });
    const failed = await sender.run(['outbox', 'list', '--failed']);
    expect(failed.stdout).toBe(
      `dead     ${dead.id}  cid=too large  attempts=1 last_error="payload too large: 70005 bytes > MAX_MESSAGE_BYTES=65536"\n`,
    );
    const requeued = await sender.run(['outbox', 'requeue', String(dead.id), '--new-client-id', 'smaller']);
    const row = await untilRow(sender, 'smaller', { status: 'done' });
    expect(requeued.stdout).toBe(`requeued: aborted ${dead.id} → new ${row.id} (client_message_id=smaller)\n`);
    expect(await rowOf(sender, 'too large')).toMatchObject({ status: 'aborted', superseded_by: row.id });
  });

  test('acceptance 12: a message of 60 000 bytes never reaches it: it is dead, and the connection stands', async () => {
    const { hellos } = broker;
    await sender.send({ ...message('60 000'), message: 'x'.repeat(60_000) });
    expect(await untilRow(sender, '60 000', { status: 'dead' })).toMatchObject({ last_error: 'payload_too_large' });
    await sender.send(message('behind it'));
    await untilRow(sender, 'behind it', { status: 'done' });
    expect(broker.hellos).toBe(hellos);
  });

  test('acceptance 9: is away: 100 sends are accepted, outlive the daemon, and arrive once each, in order', async () => {
    await broker.stop();
    const keys = Array.from({ length: 100 }, (_, at) => `away ${at}`);
    for (const key of keys) {
      expect((await sender.send(message(key))).status).toBe(202);
    }
    await sender.killed();
    await sender.launch();
    await broker.restart();
    expect(await untilArrived(keys)).toEqual(keys);
  });
});
