/**
 * SIGKILL at each place between two effects of channel, adoption and keeper (fault 2). On the daemon's side nothing is lost; on
 * the keeper's side every session ends visibly and the next one starts.
 */
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { byLength } from '../faults/support/length.ts';
import { prepareDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo, start } from '../support/host.ts';
import { knownFailpoints } from '../support/known-failpoints.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';

const flags = ['-durable'];
/** Of the whole daemon; a keeper has those that begin with its name, and those of the channel. */
const points = knownFailpoints().filter((point) => /^(channel|adopt|durable|keeper)\./.test(point));
const ofKeeper = points.filter((point) => point.startsWith('keeper.'));
const ofDaemon = points.filter((point) => !point.startsWith('keeper.'));
/** Passed once in the life of a process. */
const once = /^(adopt|durable|keeper\.(record|ready|serve|end))\b/;
/** How often the place is passed before. */
const passesOf = (point: string): readonly number[] =>
  once.test(point) ? [0] : byLength([5], [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]);
const lines = 60;

test('both sides have places to die at', () => {
  expect(ofKeeper.length).toBeGreaterThanOrEqual(8);
  expect(ofDaemon.length).toBeGreaterThanOrEqual(8);
});

/** Starts the daemon again whenever it has died, without failpoints, as long as `work` goes on. */
async function revived<T>(daemon: TestDaemon, work: () => Promise<T>): Promise<T> {
  let isOver = false;
  const reviving = (async () => {
    while (!isOver) {
      if (daemon.daemons().length === 0) {
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

test.each(ofDaemon.flatMap((point) => passesOf(point).map((count) => [point, count] as const)))(
  'the daemon dies at %s, passed %i times before: same process, every byte once, both ways',
  async (point, count) => {
    await using daemon = await prepareDaemon({ flags, failpoints: `${point}=${count}*off->1*kill` });
    await daemon.launch();
    await revived(daemon, async () => {
      await using host = await waitUntil(() => connectTo(daemon).catch(() => undefined), 'a daemon to serve');
      const job = await waitUntil(
        () => start(host, 'p', 'sh', ['-c', 'cat; exit 7']).catch(unlessKeeperIsAway),
        'the session to start',
      );
      const { pid } = job;
      const text = Array.from({ length: lines }, (_, index) => `line ${index}\n`).join('');
      for (let at = 0; at < text.length; at += 8) {
        await job.write(text.slice(at, at + 8));
      }
      await job.session.end();
      expect((await job.ended()).code).toBe(7);
      expect(job.stdout).toBe(text);
      const known = await waitUntil(() => host.sessions().catch(unlessKeeperIsAway), 'the list of sessions');
      expect(known.map((session) => session.pid)).toEqual([pid]);
    });
    // Else the place was not passed, and nothing was shown.
    expect(daemon.env.HOLDFAST_FAILPOINTS).toBe('');
  },
);

test.each(ofKeeper.flatMap((point) => passesOf(point).map((count) => [point, count] as const)))(
  'the keeper dies at %s, passed %i times before: its sessions end visibly, the next one starts, nothing stays',
  async (point, count) => {
    await using daemon = await prepareDaemon({ flags, failpoints: '', timings: { keeperFirstDaemonMs: 1_000 } });
    daemon.env.HOLDFAST_KEEPER_FAILPOINTS = `${point}=${count}*off->1*kill`;
    await daemon.start();
    let client = await connectRaw(daemon);
    let seen = 0;
    const ask = { id: 'p', command: 'sh', args: ['-c', 'trap "" PIPE; cat; exit 7'] };
    // Until the keeper has died, or has got through all of it.
    const { error: refused } = await client.request('process.spawn', ask);
    if (refused !== undefined) {
      expect(refused.message).toMatch(/^session keeper unreachable: /);
    }
    for (let line = 0; refused === undefined && line < lines && client.stream('p').exit === undefined; line++) {
      const { error, result } = await client.stdin('p', `line ${line}\n`);
      seen = result?.applied ?? seen;
      if (error !== undefined) {
        expect(error.message).toMatch(/session keeper unreachable: |Process not (running|found)/);
        break;
      }
    }
    if (refused === undefined && client.stream('p').exit === undefined) {
      const { result } = await client.request('holdfast.closeStdin', { id: 'p', offset: seen });
      if (result !== undefined || client.stream('p').count > 0) {
        await client.exitOf('p').catch(() => {});
      }
    }
    const exit = client.stream('p').exit?.exitCode;
    expect([7, -1, undefined]).toContain(exit);
    daemon.env.HOLDFAST_KEEPER_FAILPOINTS = '';
    if (once.test(point) || count === 0) {
      // A next keeper would die at the same place; and some are passed only at the end, or when another daemon takes over.
      await client.request('holdfast.release', { all: true });
      await daemon.stop();
      await daemon.start();
      client = await connectRaw(daemon);
    }
    await waitUntil(async () => {
      const { error } = await client.request('process.spawn', {
        id: 'q',
        command: 'sh',
        args: ['-c', 'echo works; cat'],
      });
      return error === undefined;
    }, 'the next session to start');
    await client.untilOutput('q', 'works');
    await client.call('holdfast.release', { all: true });
    await daemon.stop();
    await waitUntil(() => daemon.processes().length === 0, 'every process to end');
    expect(readdirSync(daemon.runDir).filter((name) => name.startsWith('keeper.') && name !== 'keeper.log')).toEqual(
      [],
    );
  },
);
