/**
 * SIGKILL at each place between two effects of channel, adoption and keeper (fault 2; docs/keeper.md "Where each side may
 * die"). On the daemon's side nothing is lost; on the keeper's side every session ends visibly and the next one starts.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFailed, test } from 'vitest';
import { byLength } from '../faults/support/length.ts';
import { prepareDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo, start } from '../support/host.ts';
import { knownFailpoints } from '../support/known-failpoints.ts';
import { findByArguments, isRunning, processFacts, signalProcess, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';
import { keeperOf } from './support/keeper.ts';
import { makeRelease } from './support/release.ts';

const flags = ['-durable'];
const timings = { keeperFirstDaemonMs: 1_000, keeperRetryMs: 50 };

/** Passed by both sides, each for itself. */
const ofBoth = ['channel.data.before', 'channel.sent.after'];
/** Passed only in what their own tests do. */
const special = [
  ...['channel.farewell.before', 'durable.detach.before', 'durable.death.before', 'durable.death.between'],
  ...['durable.leftovers.before', 'durable.leftovers.between'],
];
const points = knownFailpoints().filter((point) => !special.includes(point));
const ofDaemon = points.filter((point) => /^(channel|adopt|durable)\./.test(point));
const ofKeeper = [...points.filter((point) => /^(keeper|records)\./.test(point)), ...ofBoth];

/** Passed once in the life of a process, or a few times. */
const once = /^(adopt|durable|records|keeper\.(record|ready|serve|end|farewell|memory|mapped|segment|settled))\b/;
const rarely = /\.(memory|mapped|freed|taken|shared)\./;
/** How often the place is passed before. */
function passesOf(point: string): readonly number[] {
  if (once.test(point) || rarely.test(point)) {
    return [0];
  }
  return byLength([5], [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]);
}
const rowsOf = (all: readonly string[]) =>
  all.flatMap((point) => passesOf(point).map((count) => [point, count] as const));

const lines = 60;
/** So much that it lies in shared memory. */
const much = 'seq 200000';
const muchText = Array.from({ length: 200_000 }, (_, index) => `${index + 1}\n`).join('');

test('both sides have places to die at, and each is explained', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/keeper.md'), 'utf8');
  const names = [...page.matchAll(/^\|((?: `[a-z.]+`,?)+) +\|/gm)].flatMap(([, cell = '']) => {
    const [first = '', ...rest] = [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
    // `.after` stands for the same place's other end.
    const whole = (name: string) => (name.startsWith('.') ? first.replace(/\.[a-z]+$/, name) : name);
    return [first, ...rest].map(whole);
  });
  for (const point of [...ofDaemon, ...ofKeeper, ...special]) {
    expect(names).toContain(point);
  }
  expect(ofKeeper.length).toBeGreaterThanOrEqual(20);
  expect(ofDaemon.length).toBeGreaterThanOrEqual(16);
});

/** One daemon for all rows: what is tried is the life of its sessions. */
function sharedDaemon(): { readonly daemon: TestDaemon; readonly keeperRules: string; readonly passed: string } {
  const shared = {} as { daemon: TestDaemon; keeperRules: string; passed: string };
  beforeAll(async () => {
    shared.daemon = await prepareDaemon({ flags, failpoints: '', timings });
    shared.keeperRules = join(shared.daemon.dir, 'keeper-rules');
    shared.passed = join(shared.daemon.dir, 'passed');
    writeFileSync(shared.keeperRules, '');
    shared.daemon.env.HOLDFAST_KEEPER_FAILPOINTS = shared.keeperRules;
    await shared.daemon.start();
  });
  beforeEach(() => {
    rmSync(shared.passed, { force: true });
    onTestFailed(() => console.error(shared.daemon.log()));
  });
  afterAll(async () => shared.daemon[Symbol.asyncDispose]());
  return shared;
}

/** Ends all sessions, the daemon and with it the keeper. */
async function endAll(daemon: TestDaemon): Promise<void> {
  await using client = await connectRaw(daemon);
  await waitUntil(
    async () => (await client.request('holdfast.release', { all: true })).error === undefined,
    'the release',
  );
  await daemon.stop();
  await waitUntil(() => daemon.processes().length === 0, 'every process to end');
  const left = readdirSync(daemon.runDir).filter((name) => name.startsWith('keeper.') && name !== 'keeper.log');
  expect(left).toEqual([]);
}

/** Starts the daemon again whenever it has died, without failpoints, as long as `work` goes on. */
async function revived<T>(daemon: TestDaemon, work: () => Promise<T>): Promise<T> {
  let isOver = false;
  const reviving = (async () => {
    let [seen] = daemon.daemons();
    while (!isOver) {
      // A look at every process is dear, and most of the time the one that was seen goes on.
      if (seen === undefined || !isRunning(seen)) {
        [seen] = daemon.daemons();
      }
      if (seen === undefined) {
        daemon.env.HOLDFAST_FAILPOINTS = '';
        await daemon.start();
      }
      await sleep(20);
    }
  })();
  const result = await work().finally(() => {
    isOver = true;
  });
  await reviving;
  return result;
}

/** A keeper that is still being looked for is told as such, and found by the next request. */
function unlessKeeperIsAway(error: unknown): undefined {
  expect(String(error)).toMatch(/session keeper unreachable/);
}

describe('fault 2: the daemon dies', () => {
  const shared = sharedDaemon();

  test.each(rowsOf(ofDaemon))(
    'at %s, passed %i times before: same process, every byte once, both ways',
    async (point, count) => {
      const { daemon, passed } = shared;
      if (point.startsWith('durable.start.')) {
        await endAll(daemon);
      }
      daemon.env.HOLDFAST_FAILPOINTS = `${point}=${count}*off->1*kill(${passed})`;
      await daemon.launch();
      await revived(daemon, async () => {
        await using host = await waitUntil(() => connectTo(daemon).catch(() => undefined), 'a daemon to serve');
        const job = await waitUntil(
          () => start(host, 'p', 'sh', ['-c', `${much}; cat; exit 7`]).catch(unlessKeeperIsAway),
          'the session to start',
        );
        const text = Array.from({ length: lines }, (_, index) => `line ${index}\n`).join('');
        for (let at = 0; at < text.length; at += 8) {
          await job.write(text.slice(at, at + 8));
        }
        await job.session.end();
        expect((await job.ended()).code).toBe(7);
        expect(job.stdout === muchText + text, 'every byte once').toBe(true);
        const known = await waitUntil(() => host.sessions().catch(unlessKeeperIsAway), 'the list of sessions');
        expect(known.map((session) => session.pid)).toEqual([job.pid]);
        await job.session.release();
        // Else the place was not passed, and nothing was shown.
        await waitUntil(() => existsSync(passed), 'the place to be passed');
      });
    },
  );

  test('at durable.detach.before, while it stops: the sessions stay as they are', async () => {
    const { daemon, passed } = shared;
    daemon.env.HOLDFAST_FAILPOINTS = `durable.detach.before=1*kill(${passed})`;
    await daemon.start();
    await using host = await connectTo(daemon);
    const job = await start(host, 'p', 'sh', ['-c', `${much}; cat; exit 7`]);
    await job.write('one\n');
    await job.until('one\n');
    await daemon.stop();
    expect(existsSync(passed)).toBe(true);
    daemon.env.HOLDFAST_FAILPOINTS = '';
    await daemon.start();
    await job.write('two\n');
    await job.session.end();
    expect((await job.ended()).code).toBe(7);
    expect(job.stdout === `${muchText}one\ntwo\n`, 'every byte once').toBe(true);
    await job.session.release();
  });

  test.each([
    ['durable.death.before', /WARN {2}\[keeper\] dead: pid \d+ is gone; 1 children ended/],
    ['durable.death.between', /WARN {2}\[keeper\] dead: pid \d+ is gone; 1 children ended/],
    ['durable.leftovers.before', /WARN {2}\[keeper\] dead: pid \d+ is gone; 0 children ended/],
    ['durable.leftovers.between', /INFO {2}\[keeper\] none/],
  ])(
    'at %s, while it sees the end of its keeper out: the next one ends what is left, and the next session starts',
    async (point, verdict) => {
      const { daemon, passed } = shared;
      daemon.env.HOLDFAST_FAILPOINTS = `${point}=1*kill(${passed})`;
      await daemon.start();
      const client = await connectRaw(daemon);
      const { pid } = await client.spawn('p', 'sleep', ['600'], { wantPid: true });
      const child = processFacts(pid);
      const own = daemon.process();
      signalProcess(await keeperOf(daemon), 'SIGKILL');
      await untilEnded(own);
      expect(existsSync(passed)).toBe(true);
      daemon.env.HOLDFAST_FAILPOINTS = '';
      await daemon.start();
      await using next = await connectRaw(daemon);
      await untilSpawned(next, 'q', 'echo works; cat');
      await next.untilOutput('q', 'works');
      expect(child).toBeDefined();
      await waitUntil(
        () => child !== undefined && processFacts(child.pid)?.start !== child.start,
        'the child to be ended',
      );
      expect(daemon.log()).toMatch(verdict);
      await next.call('holdfast.release', { all: true });
    },
  );
});

/** Asks again as long as a keeper is being looked for. */
async function untilSpawned(
  client: RawConnection,
  id: string,
  script: string,
  isEnough = () => false,
): Promise<boolean> {
  return waitUntil(async () => {
    const { error } = await client.request('process.spawn', { id, command: 'sh', args: ['-c', script] });
    if (error !== undefined) {
      expect(error.message).toMatch(/^session keeper unreachable: /);
    }
    return error === undefined ? 'spawned' : isEnough() && 'enough';
  }, `the session ${id} to start`).then((how) => how === 'spawned');
}

describe('fault 4: the keeper dies', () => {
  const shared = sharedDaemon();

  test.each(rowsOf(ofKeeper))(
    'at %s, passed %i times before: its sessions end visibly, the next one starts, nothing stays',
    async (point, count) => {
      const { daemon, keeperRules, passed } = shared;
      if (daemon.daemons().length === 0) {
        // The row before has failed while it was stopped.
        await daemon.start();
      }
      writeFileSync(keeperRules, `${point}=${count}*off->1*kill(${passed})`);
      const before = await keeperOf(daemon);
      signalProcess(before, 'SIGKILL');
      await untilEnded(before);
      const hasPassed = (): boolean => existsSync(passed);
      let client = await connectRaw(daemon);
      // It does not end by itself when its input does: somebody has to end it.
      // Much is said twice: by then the daemon has mapped the memory in which the keeper puts it.
      const script = `trap "" PIPE; ${much}; while read -r line; do
        case $line in end) exit 7 ;; 'line 30') ${much} ;; esac; echo "$line"; done; sleep 600`;
      if (await untilSpawned(client, 'p', script, hasPassed)) {
        for (let line = 0; line <= lines && client.stream('p').exit === undefined; line++) {
          const { error } = await client.stdin('p', line < lines ? `line ${line}\n` : 'end\n');
          if (error !== undefined) {
            expect(error.message).toMatch(/session keeper unreachable: |Process not (running|found)/);
            break;
          }
        }
        expect([7, -1]).toContain((await client.exitOf('p')).exitCode);
      }
      if (rarely.test(point)) {
        // A daemon tells what it has freed after a while.
        await waitUntil(hasPassed, 'the place to be passed');
      } else if (!hasPassed()) {
        // Only passed at the end of a keeper.
        await client.call('holdfast.release', { all: true });
        await daemon.stop();
        await waitUntil(hasPassed, 'the place to be passed');
        writeFileSync(keeperRules, '');
        await daemon.start();
        client = await connectRaw(daemon);
      }
      writeFileSync(keeperRules, '');
      await untilSpawned(client, 'q', 'echo works; cat');
      await client.untilOutput('q', 'works');
      await client.call('holdfast.release', { all: true });
      await client.close();
      const keeper = await keeperOf(daemon);
      const kept = [daemon.pid(), keeper.pid];
      await waitUntil(() => daemon.processes().every(({ pid }) => kept.includes(pid)), 'every other process to end');
    },
  );

  test('in the end nothing stays of all the keepers that have died', async () => {
    await endAll(shared.daemon);
  });
});

describe('a keeper of the release before ends with its last session', () => {
  let folder: string;
  let newer: string;
  beforeAll(() => {
    folder = mkdtempSync('/tmp/hf-');
    newer = makeRelease(join(folder, 'newer'), { version: '9.9.9', channel: [2, 3], forTests: true });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each([
    ['daemon', 'channel.farewell.before'],
    ['keeper', 'keeper.farewell.before'],
    ['keeper', 'keeper.farewell.after'],
  ])('and the %s dies at %s: what was asked meanwhile is done once', async (side, point) => {
    await using daemon = await prepareDaemon({ flags, failpoints: '', timings });
    const passed = join(daemon.dir, 'passed');
    const rule = `${point}=1*kill(${passed})`;
    daemon.env.HOLDFAST_KEEPER_FAILPOINTS = side === 'keeper' ? rule : '';
    await daemon.start();
    const first = await connectRaw(daemon);
    await first.spawn('p', 'cat');
    daemon.program = newer;
    daemon.env.HOLDFAST_FAILPOINTS = side === 'daemon' ? rule : '';
    daemon.env.HOLDFAST_KEEPER_FAILPOINTS = '';
    await daemon.start();
    let client = await connectRaw(daemon);
    const mark = `600.${process.pid}`;
    const ask = { id: 'q', command: 'sleep', args: [mark], ifAbsent: true };
    client.post('holdfast.release', { id: 'p' });
    await waitUntil(() => existsSync(passed), 'the place to be passed');
    if (side === 'daemon') {
      await waitUntil(() => daemon.daemons().length === 0, 'the daemon to end');
      daemon.env.HOLDFAST_FAILPOINTS = '';
      await daemon.start();
      client = await connectRaw(daemon);
    }
    await waitUntil(async () => (await client.request('process.spawn', ask)).error === undefined, 'the spawn');
    expect(findByArguments(['sleep', mark])).toHaveLength(1);
    await client.call('holdfast.release', { all: true });
  });
});
