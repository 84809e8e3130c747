/** Fault 6: SIGSTOP of the daemon, of a child and of a client, in turn. Nothing ends that was only stopped; the others go on. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { isRunning, type ProcessFacts, processFacts, signalProcess } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';
import { byLength, limitMs } from './support/length.ts';
import { WatchedRun } from './support/watched-run.ts';

/** How long somebody stands still; the length is the fault itself. */
const pauseMs = byLength(1_500, 60_000);

test('fault 6: a daemon that is stopped for a while goes on where it was: no session ends, no reply and no byte is lost', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  using run = new WatchedRun(daemon.dir);
  await using client = await connectRaw(daemon, { name: 'client', keep: 'figures', observer: run.observer });
  const { pid } = await client.spawn('count', ...fixture('count-forever.ts', '--every', '1', ...run.child('count')), {
    wantPid: true,
  });
  await client.spawn('echo', ...fixture('echo-lines.ts', ...run.child('echo')));
  await client.waitFor(() => client.stream('count').lastSeq > 5, 'the first numbers');
  const child = processFacts(pid) as ProcessFacts;

  const before = daemon.process();
  daemon.signal('SIGSTOP');
  await waitUntil(() => processFacts(before.pid)?.state === 'T', 'the daemon to stop');
  const replies = client.replies.length;
  const line = 'sent to a daemon that stands still\n';
  client.post('process.stdin', { id: 'echo', data: Buffer.from(line).toString('base64'), offset: 0 });
  const pings = Array.from({ length: 100 }, () => client.post('server.ping'));
  // The kernel takes the connection; the daemon will find it waiting.
  await using late = await connectRaw(daemon, { name: 'late', observer: run.observer });
  late.post('server.ping');
  await sleep(pauseMs);
  expect(client.replies.length).toBe(replies);
  daemon.signal('SIGCONT');

  await client.waitFor(() => client.replies.length === replies + 1 + pings.length, 'every reply');
  await late.waitFor(() => late.replies.length === 1, 'the reply to the late one');
  await client.waitFor(() => client.stream('echo').bytes.stdout === line.length, 'the line to come back');
  expect(daemon.process()).toMatchObject({ pid: before.pid, start: before.start });
  expect(isRunning(child)).toBe(true);
  const { lastSeq } = client.stream('count');
  await client.waitFor(() => client.stream('count').lastSeq > lastSeq + 5, 'the numbers to go on');
  for (const id of ['count', 'echo']) {
    await client.kill(id);
    await client.exitOf(id);
  }
  run.completeWithInput('count', 'echo');
  run.verify();
});

test.each([
  ['of a daemon', []],
  ['of a keeper', ['-durable']],
])(
  'fault 6: a child %s that is stopped has not ended, everything else goes on, and so does it afterwards',
  {
    timeout: limitMs(60),
  },
  async (_whose, flags) => {
    await using daemon = await startDaemon({ profile: 'current', flags });
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(daemon, { name: 'client', keep: 'figures', observer: run.observer });
    const spawnCounter = async (id: string): Promise<ProcessFacts> => {
      const { pid } = await client.spawn(id, ...fixture('count-forever.ts', '--every', '1', ...run.child(id)), {
        wantPid: true,
      });
      await client.waitFor(() => client.stream(id).lastSeq > 5, `the first numbers of ${id}`);
      return processFacts(pid) as ProcessFacts;
    };
    const stopped = await spawnCounter('stopped');
    await spawnCounter('other');

    signalProcess(stopped, 'SIGSTOP');
    await waitUntil(() => processFacts(stopped.pid)?.state === 'T', 'the child to stop');
    // What it had written before may still be on its way.
    await client.call('server.ping');
    const other = client.stream('other').lastSeq;
    await sleep(pauseMs);
    const { lastSeq } = client.stream('stopped');
    await client.waitFor(() => client.stream('other').lastSeq > other + 20, 'the other session to go on');
    expect(client.stream('stopped')).toMatchObject({ lastSeq, exit: undefined });
    // Input for it is taken and waits in its pipe.
    expect((await client.stdin('stopped', 'x')).result).toEqual({ success: true, applied: 1 });
    // A gentle signal waits with it.
    expect(await client.call('process.killAndWait', { id: 'stopped', timeoutMs: 50, escalate: false })).toEqual({
      found: true,
      died: false,
    });
    signalProcess(stopped, 'SIGCONT');
    expect(await client.exitOf('stopped')).toMatchObject({ exitCode: -1, signal: 'SIGTERM', killedBy: 'client' });

    const again = await spawnCounter('again');
    signalProcess(again, 'SIGSTOP');
    expect(await client.call('process.killAndWait', { id: 'again', timeoutMs: 50 })).toEqual({
      found: true,
      died: true,
      escalated: true,
    });
    await client.kill('other');
    await client.exitOf('other');
    run.complete('stopped', 'other', 'again');
    run.verify();
  },
);

test('fault 6: a client that is stopped delays nobody else, and gets everything when it goes on', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  using run = new WatchedRun(daemon.dir);
  await using client = await connectRaw(daemon, { name: 'client', keep: 'figures', observer: run.observer });
  for (const id of ['followed', 'other']) {
    await client.spawn(id, ...fixture('count-forever.ts', '--every', '1', ...run.child(id)));
  }
  const log = run.file('follower');
  const script = fileURLToPath(new URL('../fixtures/follow-session.ts', import.meta.url));
  const token = join(daemon.runDir, 'daemon.token');
  const follower = spawn(
    process.execPath,
    [script, '--socket', daemon.socket, '--token', token, '--session', 'followed', '--log', log, '--name', 'follower'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = new Promise((resolve, reject) => {
    follower.on('error', reject).on('exit', (code, signal) => resolve({ code, signal }));
  });
  await new Promise((resolve) => follower.stdout.once('data', resolve));

  const facts = processFacts(follower.pid as number) as ProcessFacts;
  signalProcess(facts, 'SIGSTOP');
  await waitUntil(() => processFacts(facts.pid)?.state === 'T', 'the client to stop');
  const before = client.stream('other').lastSeq;
  await sleep(pauseMs);
  await client.waitFor(() => client.stream('other').lastSeq > before + 20, 'the other session to go on');
  await client.call('server.ping');
  signalProcess(facts, 'SIGCONT');

  for (const id of ['followed', 'other']) {
    await client.kill(id);
  }
  await client.exitOf('other');
  expect(await ended).toEqual({ code: 0, signal: null });
  run.complete('followed', 'other');
  run.verify();
});
