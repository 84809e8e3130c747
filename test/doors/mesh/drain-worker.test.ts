/** The drain worker over a real outbox, with a broker and a clock of the test's own (spec mesh.md §8). */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DrainWorker } from '../../../src/doors/mesh/send/drain-worker.ts';
import { SendRoutes } from '../../../src/doors/mesh/send/send-routes.ts';
import { listOutbox } from '../../../src/doors/mesh/store/listings.ts';
import { Outbox } from '../../../src/doors/mesh/store/outbox.ts';
import { type MeshTimings, meshTimings } from '../../../src/doors/mesh/timings.ts';
import { waitUntil } from '../../support/wait.ts';
import { delivered, FakeBroker, refusedWith } from './fake-broker.ts';

const startedAt = Date.parse('2026-11-28T12:00:00Z');
/** The clock is the test's, so the worker only has to look often enough. */
const timings: MeshTimings = { ...meshTimings, drainTickMs: 5 };

let folder: string;
let outbox: Outbox;
let broker: FakeBroker;
let worker: DrainWorker;
let routes: SendRoutes;
let clock: number;
let warnings: [string, Readonly<Record<string, unknown>>][];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hfm-'));
  clock = startedAt;
  warnings = [];
  outbox = new Outbox(join(folder, 'outbox.db'));
  broker = new FakeBroker();
  const now = (): number => clock;
  const log = { warn: (name: string, fields: Readonly<Record<string, unknown>>) => warnings.push([name, fields]) };
  worker = new DrainWorker({ outbox, broker, timings, log, now });
  routes = new SendRoutes({ outbox, mesh: broker.mesh, onQueued: () => worker.wake(), now });
});

afterEach(async () => {
  broker.state = 'closed';
  await worker.stop();
  outbox.close();
  rmSync(folder, { recursive: true });
});

type Item = Readonly<Record<string, unknown>>;

function items(): readonly Item[] {
  return (listOutbox(outbox, new URLSearchParams()).body.items as readonly Item[]).toReversed();
}

function send(key: string, to = 'alice'): void {
  expect(routes.send({ to, message: `text of ${key}`, client_message_id: key }, undefined).status).toBe(202);
}

async function untilRow(at: number, wanted: Item): Promise<Item> {
  const matches = (): boolean => Object.entries(wanted).every(([name, value]) => items()[at]?.[name] === value);
  await waitUntil(matches, `row ${at} as ${JSON.stringify(wanted)}`).catch((error: unknown) => {
    throw new Error(`it is ${JSON.stringify(items()[at])}`, { cause: error });
  });
  return items()[at] ?? {};
}

describe('one message', () => {
  test('goes out with its key, fingerprint and target, and its row says when and under which id it arrived', async () => {
    send('k1');
    worker.start();
    const row = await untilRow(0, { status: 'done' });
    expect(row).toMatchObject({
      ...{ attempts: 1, broker_message_id: 'b-k1', last_error: null, delivered_at: '2026-11-28T12:00:00.000Z' },
    });
    expect(broker.sent).toMatchObject([{ clientMessageId: 'k1', target: 'alice', priority: 'next' }]);
    expect(broker.sent[0]?.requestFingerprint).toMatch(/^[0-9a-f]{64}$/);
  });

  test('waits for a connection without spending an attempt, and is pending meanwhile', async () => {
    broker.state = 'reconnecting';
    worker.start();
    send('k1');
    await new Promise((resolve) => setTimeout(resolve, 10 * timings.drainTickMs));
    expect(items()[0]).toMatchObject({ status: 'pending', attempts: 0 });
    broker.state = 'open';
    await untilRow(0, { status: 'done', attempts: 1 });
  });

  test('is tried again after 1, 2, 4, 8, 16 and then every 30 s, and given up at the 25th attempt', async () => {
    broker.answer = refusedWith('ack_timeout');
    send('k1');
    worker.start();
    const pauses: number[] = [];
    for (let attempt = 1; attempt < 25; attempt++) {
      const row = await untilRow(0, { status: 'pending', attempts: attempt, last_error: 'ack_timeout' });
      const dueAt = Date.parse(String(row.next_attempt_at));
      pauses.push((dueAt - clock) / 1000);
      clock = dueAt - 1;
      worker.wake();
      await new Promise((resolve) => setTimeout(resolve, 2));
      expect(broker.sent).toHaveLength(attempt);
      clock = dueAt;
      worker.wake();
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, ...Array.from({ length: 19 }, () => 30)]);
    await untilRow(0, { status: 'dead', attempts: 25, last_error: 'max_attempts: ack_timeout' });
    expect(warnings).toEqual([['drain_max_attempts', { id: items()[0]?.id, err: 'max_attempts: ack_timeout' }]]);
  });

  test('is given up at once when the broker says that it never will', async () => {
    broker.answer = refusedWith('payload too large: 70005 bytes > MAX_MESSAGE_BYTES=65536', true);
    send('k1');
    worker.start();
    const row = await untilRow(0, { status: 'dead', attempts: 1 });
    expect(row.last_error).toBe('payload too large: 70005 bytes > MAX_MESSAGE_BYTES=65536');
    expect(warnings[0]?.[0]).toBe('drain_permanent_failure');
  });

  test('that is a week old is given up, and is not sent', async () => {
    broker.state = 'reconnecting';
    send('k1');
    worker.start();
    clock += 168 * 3_600_000 + 1;
    broker.state = 'open';
    await untilRow(0, { status: 'dead', attempts: 0, last_error: 'max_age_exceeded' });
    expect(broker.sent).toEqual([]);
  });

  test('is tried again when the connection throws', async () => {
    broker.answer = () => Promise.reject(new Error('boom'));
    send('k1');
    worker.start();
    await untilRow(0, { status: 'pending', attempts: 1, last_error: 'send_failed: boom' });
    expect(warnings[0]?.[0]).toBe('drain_send_threw');
  });

  test('is sent although the clock was set back by a year after it was accepted', async () => {
    broker.state = 'reconnecting';
    send('k1');
    worker.start();
    clock -= 365 * 24 * 3_600_000;
    broker.state = 'open';
    await untilRow(0, { status: 'done' });
  });

  test('that was requeued while it was in flight stays aborted, whatever the broker says of it', async () => {
    const answer = Promise.withResolvers<void>();
    broker.answer = async (message) => {
      await answer.promise;
      return delivered(message);
    };
    send('k1');
    worker.start();
    const { id } = await untilRow(0, { status: 'inflight' });
    expect(routes.requeue({ id, new_client_message_id: 'k2' }).status).toBe(200);
    answer.resolve();
    await untilRow(1, { status: 'done', client_message_id: 'k2' });
    expect(items()[0]).toMatchObject({ status: 'aborted', superseded_by: items()[1]?.id, broker_message_id: null });
  });
});

describe('several messages', () => {
  test('go out in the order of their acceptance, more than one look takes', async () => {
    broker.state = 'connecting';
    const keys = Array.from({ length: 100 }, (_, at) => `k${at}`);
    for (const key of keys) {
      send(key);
    }
    worker.start();
    broker.state = 'open';
    await untilRow(49, { status: 'done' });
    await waitUntil(() => broker.sent.length === 100, 'all messages');
    expect(broker.texts).toEqual(keys.map((key) => `text of ${key}`));
  });

  test('to one target wait for the first of them, those to others do not', async () => {
    broker.answer = (message) => (broker.sent.length === 1 ? refusedWith('ack_timeout')() : delivered(message));
    send('a1');
    send('a2');
    send('b1', 'bob');
    worker.start();
    await untilRow(2, { status: 'done' });
    expect(items().map(({ status }) => status)).toEqual(['pending', 'pending', 'done']);
    clock += 1000;
    worker.wake();
    await untilRow(1, { status: 'done' });
    expect(broker.texts).toEqual(['text of a1', 'text of b1', 'text of a1', 'text of a2']);
  });

  test('to another mesh stay where they are', async () => {
    const other = new SendRoutes({ outbox, mesh: 'other', onQueued: () => worker.wake(), now: () => clock });
    other.send({ to: 'alice', message: 'for others', client_message_id: 'o1' }, undefined);
    send('k1');
    worker.start();
    await untilRow(1, { status: 'done' });
    expect(items()[0]).toMatchObject({ status: 'pending', attempts: 0 });
    expect(broker.texts).toEqual(['text of k1']);
  });

  test('a rate limit stops all of them for a while', async () => {
    broker.answer = refusedWith('rate_limit: max 60 msg/min (burst 10) — slow down');
    send('a1');
    send('b1', 'bob');
    worker.start();
    await untilRow(0, { status: 'pending', attempts: 1 });
    await new Promise((resolve) => setTimeout(resolve, 10 * timings.drainTickMs));
    expect(broker.sent).toHaveLength(1);
  });

  test('a stop waits for the one in hand and takes no other', async () => {
    const answer = Promise.withResolvers<void>();
    broker.answer = async (message) => {
      await answer.promise;
      return delivered(message);
    };
    send('k1');
    send('k2');
    worker.start();
    await untilRow(0, { status: 'inflight' });
    const stopped = worker.stop();
    answer.resolve();
    await stopped;
    expect(items().map(({ status }) => status)).toEqual(['done', 'pending']);
  });
});
