/**
 * Three daemons that write to each other for two minutes (some twenty seconds with its start and end by default, HOLDFAST_FULL_FAULTS=1 for the whole), while
 * the broker drops, delays, doubles, refuses and restarts, and daemons die by SIGKILL. HOLDFAST_CHAOS_SEED repeats a run.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { byLength, limitMs } from '../../faults/support/length.ts';
import { waitUntil } from '../../support/wait.ts';
import { chance } from './damage.ts';
import { newMember } from './members.ts';
import { StandInBroker } from './stand-in-broker.ts';
import { type EventReader, TestDaemon } from './test-daemon.ts';

const seed = Number(process.env.HOLDFAST_CHAOS_SEED ?? 20261128);
const chaosMs = byLength(10_000, 120_000);
/** A program waits so long between two messages. */
const paceMs = 40;
/** Of what would take minutes. */
const timings = { reconnectMs: 50, reconnectMaxMs: 400, retryBaseMs: 50, retryMaxMs: 500, ackMs: 700, drainTickMs: 50 };

interface Sent {
  readonly from: string;
  readonly to: string;
  /** The key, and the text. */
  readonly key: string;
}

test(
  'each message is once in the right inbox, none is lost after its 202, and the order of each sender is kept',
  async () => {
    console.info(`chaos of the mesh door: seed ${seed}, ${chaosMs / 1000} s`);
    const next = chance(seed);
    const below = (limit: number): number => next() % limit;
    const members = ['anna', 'bert', 'cleo'].map((name) => newMember(name));
    await using broker = await StandInBroker.start({ members, pushAgainMs: 500 });
    await using stack = new AsyncDisposableStack();
    const daemons = new Map<string, TestDaemon>();
    const streams = new Map<string, EventReader[]>();
    for (const member of members) {
      daemons.set(member.displayName, stack.use(await TestDaemon.start({ member, brokerUrl: broker.url, timings })));
      streams.set(member.displayName, []);
    }
    const daemonOf = (name: string): TestDaemon => daemons.get(name) as TestDaemon;
    const names = [...daemons.keys()];
    const keyOf = new Map(members.map(({ displayName, pubkey }) => [displayName, pubkey]));
    const listen = async (name: string): Promise<void> => {
      streams.get(name)?.push(await daemonOf(name).events());
    };
    await Promise.all(names.map(listen));

    /** Accepted by a daemon, in the order in which a program was told so. */
    const accepted: Sent[] = [];
    let isOver = false;
    /** A program that writes to the others, one message after the other, and asks again whenever its daemon was gone. */
    const write = async (from: string, at: number): Promise<void> => {
      const own = chance(seed + at + 1);
      const others = names.filter((name) => name !== from);
      for (let count = 0; !isOver; count++) {
        const to = others[own() % others.length] as string;
        const sent: Sent = { from, to, key: `${from}-${to}-${count}` };
        const body = { to: keyOf.get(to), message: sent.key, client_message_id: sent.key };
        const answer = await waitUntil(
          async () => {
            const given = await daemonOf(from)
              .send(body)
              .catch(() => undefined);
            return given?.status === 503 ? undefined : given;
          },
          `an answer to ${sent.key}\n${daemonOf(from).output}`,
        );
        expect([200, 202], answer.text).toContain(answer.status);
        accepted.push(sent);
        if (own() % 10 === 0) {
          await daemonOf(from)
            .send(body)
            .catch(() => undefined);
        }
        await sleep(paceMs);
      }
    };
    const programs = Promise.all(names.map(write));
    // What is wrong with one of them is told when it is waited for.
    programs.catch(() => undefined);

    const happenings: Readonly<Record<string, () => Promise<void> | void>> = {
      'acks dropped': () => {
        broker.dropAcks = 1 + below(3);
      },
      'messages dropped': () => {
        broker.dropSends = 1 + below(3);
      },
      'acks late': async () => {
        broker.ackDelayMs = 100 + below(1000);
        await sleep(1500);
        broker.ackDelayMs = 0;
      },
      'pushes doubled': async () => {
        broker.pushTimes = 2;
        await sleep(500);
        broker.pushTimes = 1;
      },
      'messages refused': () => {
        broker.errors.push('rate_limit: max 60 msg/min (burst 10) — slow down', 'internal error, try again');
      },
      'closed after a message': () => {
        broker.closeAtSend.push({ code: [1000, 1001, 1011, 4010][below(4)] ?? 1000, reason: 'chaos' });
      },
      'connections broken': () => broker.breakAll(),
      'broker restarted': async () => {
        await broker.stop(below(2) === 0 ? undefined : 1001, 'shutting down');
        await sleep(below(byLength(1000, 5000)));
        await broker.restart();
      },
      'daemon killed': async () => {
        const name = names[below(names.length)] as string;
        await daemonOf(name).killed();
        await sleep(below(300));
        await daemonOf(name).launch();
        await listen(name);
      },
      'daemon stopped': async () => {
        const name = names[below(names.length)] as string;
        expect(await daemonOf(name).stopped()).toBe(0);
        await daemonOf(name).launch();
        await listen(name);
      },
    };
    const kinds = Object.keys(happenings);
    const end = performance.now() + chaosMs;
    for (let round = 0; round < kinds.length || performance.now() < end; round++) {
      // Each once, then at random.
      await happenings[kinds[round < kinds.length ? round : below(kinds.length)] as string]?.();
      await sleep(below(600));
    }
    isOver = true;
    await programs;
    Object.assign(broker, { dropAcks: 0, dropSends: 0, ackDelayMs: 0, pushTimes: 1 });
    broker.errors.length = 0;
    broker.closeAtSend.length = 0;

    for (const name of names) {
      const unsent = (): readonly unknown[] =>
        columnOf(daemonOf(name), 'outbox', "SELECT client_message_id FROM outbox WHERE status <> 'done'");
      await waitUntil(() => unsent().length === 0, `all messages of ${name} to be sent`, { timeoutMs: 60_000 });
      const wanted = accepted.filter(({ to }) => to === name).length;
      const arrived = (): readonly unknown[] =>
        columnOf(daemonOf(name), 'inbox', 'SELECT body FROM inbox ORDER BY rowid');
      await waitUntil(() => arrived().length >= wanted, `${wanted} messages for ${name}`, { timeoutMs: 60_000 });
    }
    for (const name of names) {
      expect(await daemonOf(name).stopped()).toBe(0);
      const bodies = columnOf(daemonOf(name), 'inbox', 'SELECT body FROM inbox ORDER BY rowid');
      for (const from of names.filter((each) => each !== name)) {
        const wanted = accepted.filter((sent) => sent.from === from && sent.to === name).map(({ key }) => key);
        expect(bodies.filter((body) => String(body).startsWith(`${from}-`))).toEqual(wanted);
        expect(wanted.length).toBeGreaterThan(5);
      }
      const told = (streams.get(name) ?? []).flatMap((stream) => stream.of('message').map(({ data }) => data.body));
      expect(told.length, 'an event told twice').toBe(new Set(told).size);
      expect(told.filter((body) => !bodies.includes(body))).toEqual([]);
    }
  },
  limitMs(300),
);

/** The first column of a query on a daemon's database, as it is on the disk. */
function columnOf(daemon: TestDaemon, name: 'outbox' | 'inbox', sql: string): readonly unknown[] {
  const database = new DatabaseSync(join(daemon.daemonFolder, `${name}.db`), { readOnly: true });
  try {
    return database
      .prepare(sql)
      .all()
      .map((row) => Object.values(row)[0]);
  } finally {
    database.close();
  }
}
