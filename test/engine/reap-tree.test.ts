/** `reap-tree`: what an ended session has left outside its group is ended, and nobody else (spec extensions.md §4). */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Host } from '../../src/client/index.ts';
import { becoming, otherUsers } from '../support/as-user.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo, Followed, start } from '../support/host.ts';
import { installed, testNeeding } from '../support/needs.ts';
import { isRunning, type ProcessFacts, processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

const sixteen = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);
const markOf = (daemon: TestDaemon, id: string): string => `${sixteen(daemon.runDir)}:${sixteen(id)}`;

/** Starts a program that leaves another one in a session of its own, without its output. */
async function leaver(client: Host, id: string, left = 'exec sleep 600'): Promise<ProcessFacts> {
  const script = `setsid sh -c 'echo $$; exec >/dev/null 2>&1 </dev/null; ${left}' & wait; sleep 600`;
  // A plain request: `spawn` of the library takes a process over that has the id already.
  await client.request('process.spawn', { id, command: 'sh', args: ['-c', script] });
  const said = new Followed(await client.session(id));
  await said.until('\n');
  return factsOf(Number(said.stdout.trim()));
}

const kill = (client: Host, id: string): Promise<unknown> => client.request('process.kill', { id, signal: 'KILL' });

function factsOf(pid: number): ProcessFacts {
  const found = processFacts(pid);
  if (found === undefined) {
    throw new Error(`there is no process ${pid}`);
  }
  return found;
}

/** A process of nobody's, with this mark. */
async function bystander(mark: string | undefined, through: readonly string[] = []): Promise<ProcessFacts> {
  const [first = '', ...words] = [...through, 'sleep', '600'];
  const env = { PATH: process.env.PATH, ...(mark === undefined ? {} : { HOLDFAST_SESSION: mark }) };
  const child = spawn(first, words, { stdio: 'ignore', detached: true, env });
  onTestFinished(() => void child.kill('SIGKILL'));
  const pid = child.pid ?? 0;
  await waitUntil(() => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n' || undefined, 'the bystander');
  return factsOf(pid);
}

const kinds = [
  ['profile S', { profile: 'S' }, []],
  ['profile next', { profile: 'next' }, []],
  ['-durable', { profile: 'next' }, ['-durable']],
] as const;

describe.each(kinds)('%s', (_, options, more) => {
  const startWith = (...flags: string[]) => startDaemon({ ...options, flags: [...flags, ...more] });

  test('a tool that a killed agent has left in a session of its own is ended, those of others are not', async () => {
    await using daemon = await startWith('-reap-tree');
    await using client = await connectTo(daemon);
    const mine = await leaver(client, 'mine');
    const other = await leaver(client, 'other');
    const strangers = [await bystander(undefined), await bystander(`${sixteen('/elsewhere')}:${sixteen('mine')}`)];
    await kill(client, 'mine');
    await untilEnded(mine);
    await daemon.untilLogged(
      new RegExp(`INFO {2}\\[process\\.Manager\\] Process mine: ending what it has left, PID=${mine.pid}: SIGTERM$`),
    );
    expect([other, ...strangers].map(isRunning)).toEqual([true, true, true]);
  });

  test('a released process takes along what it has left, also what ignores SIGTERM', async () => {
    await using daemon = await startWith('-reap-tree');
    await using client = await connectTo(daemon);
    const polite = await leaver(client, 'p');
    const stubborn = await leaver(client, 'q', 'trap "" TERM; while :; do sleep 1; done');
    expect(await client.request('holdfast.release', { all: true })).toEqual({ released: 2 });
    await untilEnded(polite);
    await untilEnded(stubborn);
    expect(daemon.log()).toContain(`Process q: ending what it has left, PID=${stubborn.pid}: SIGTERM\n`);
  });

  test('without the key nothing of it is touched, nor when a program ends by itself', async () => {
    await using plain = await startWith('-mark-children');
    await using client = await connectTo(plain);
    const left = await leaver(client, 'p');
    await client.request('process.killAndWait', { id: 'p', signal: 'KILL' });
    await using daemon = await startWith('-reap-tree');
    await using second = await connectTo(daemon);
    const script = `setsid sh -c 'echo $$; exec >/dev/null 2>&1 </dev/null; exec sleep 600' & sleep 0.3`;
    const q = await start(second, 'q', 'sh', ['-c', script]);
    await q.ended();
    const natural = factsOf(Number(q.stdout.trim()));
    // A search that must not happen here is over when a later one is.
    const mine = await leaver(second, 'r');
    await kill(second, 'r');
    await untilEnded(mine);
    expect([left, natural].map(isRunning)).toEqual([true, true]);
  });
});

test('what a process started that has the id now is not taken for what the old one has left', async () => {
  await using daemon = await startDaemon({ flags: ['-reap-tree'] });
  await using client = await connectTo(daemon);
  const old = await leaver(client, 'p');
  await using again = await connectTo(daemon);
  // The system counts starts in hundredths of a second. Of what has the same, nobody can tell whose it is, and it is left alone.
  await sleep(30);
  // In profile S this ends the old process.
  const now = await leaver(again, 'p');
  await untilEnded(old);
  expect(isRunning(now)).toBe(true);
  await kill(again, 'p');
  await untilEnded(now);
});

test('a daemon that ends takes along what its processes have left', async () => {
  await using daemon = await startDaemon({ profile: 'current', flags: ['-reap-tree'] });
  await using client = await connectTo(daemon);
  const left = await leaver(client, 'p');
  await daemon.stop();
  expect(isRunning(left)).toBe(false);
});

test('detached-ttl ends what the process has left as well', async () => {
  const timings = { detachedCheckMs: 20 };
  await using daemon = await startDaemon({ flags: ['-reap-tree', '-detached-ttl', '200ms'], timings });
  const client = await connectTo(daemon);
  const left = await leaver(client, 'p');
  await client.close();
  await untilEnded(left);
});

test('a daemon that was started inside a session is left alone with all that it holds', async () => {
  await using daemon = await startDaemon({ flags: ['-reap-tree'] });
  await using client = await connectTo(daemon);
  const mine = await leaver(client, 'p');
  await using inner = await startDaemon({ env: { HOLDFAST_SESSION: markOf(daemon, 'p') } });
  await using second = await connectTo(inner);
  const held = await start(second, 'q', 'sleep', ['600']);
  const kept = [inner.process(), factsOf(held.pid)];
  await kill(client, 'p');
  await untilEnded(mine);
  await daemon.untilLogged(/ending what it has left/);
  expect(kept.map(isRunning)).toEqual([true, true]);
  expect(daemon.log().match(/ending what it has left/g)).toHaveLength(1);
});

testNeeding(otherUsers(), installed('setpriv', 'util-linux'))(
  'a process of another user that carries the mark is left alone',
  {},
  async () => {
    await using daemon = await startDaemon({ flags: ['-reap-tree'] });
    await using client = await connectTo(daemon);
    const mine = await leaver(client, 'p');
    const foreign = await bystander(markOf(daemon, 'p'), becoming(61_024));
    await kill(client, 'p');
    await untilEnded(mine);
    await client.request('process.spawn', { id: 'p', command: 'true' });
    await (await client.session('p')).exit;
    expect(isRunning(foreign)).toBe(true);
    expect(daemon.log()).not.toContain(`PID=${foreign.pid}: SIG`);
  },
);
