/** How a daemon ends, and what that means for children and clients (spec modes.md §8, process.md §10, wire.md §1). */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { program } from '../support/holdfast.ts';
import { isRunning, type ProcessFacts, processFacts, signalProcess, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';

const profiles = ['S', 'current', 'next'] as const;

/** The last log lines that have to do with the end, without their times. */
function endLines(daemon: TestDaemon): string[] {
  return daemon
    .log()
    .split('\n')
    .map((line) => line.replace(/^[\d/]{10} [\d:]{8} /, ''))
    .filter((line) => /\[ServerHandler\]|\[daemon\] received|shutdown requested|-keep-children:|cleanup:/.test(line));
}

const facts = (pid: number): ProcessFacts => processFacts(pid) as ProcessFacts;

describe.each(profiles)('profile %s: the end', (profile) => {
  test('by request takes the children with it, and the log tells every step', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    await using other = await connectRaw(daemon);
    const { pid } = await client.spawn('p', 'sh', ['-c', 'sleep 3600 & echo $!; wait'], { wantPid: true });
    await client.untilOutput('p', '\n');
    const grandchild = facts(Number(client.stream('p').text()));
    await client.spawn('q', 'sleep', ['3600']);
    const [target, child] = [daemon.process(), facts(pid)];
    other.post('server.shutdown');
    await client.untilClosed();
    for (const each of [target, child, grandchild]) {
      await untilEnded(each);
    }
    // Connections go first, so nobody sees how the children end.
    expect(client.stream('p').exit).toBeUndefined();
    expect(endLines(daemon)).toEqual([
      'INFO  [ServerHandler] server.shutdown received over RPC',
      'INFO  [Server] shutdown requested',
      'INFO  [Server] cleanup: closed 2 connection(s), killed 2 child process group(s)',
    ]);
  });

  test.each([
    ['SIGTERM', 'terminated'],
    ['SIGINT', 'interrupt'],
  ] as const)('by %s is the same, with exit code 0', async (signal, word) => {
    await using daemon = await prepareDaemon({ profile });
    const { daemonProcess, exit } = await foreground(daemon, ['-wire-profile', profile]);
    await using client = await connectRaw(daemon);
    const { pid } = await client.spawn('p', 'sleep', ['3600'], { wantPid: true });
    const child = facts(pid);
    signalProcess(daemonProcess, signal);
    expect(await exit).toEqual({ code: 0, signal: null });
    await untilEnded(child);
    await client.untilClosed();
    expect(readFileSync(join(daemon.dir, 'output'), 'utf8')).toMatch(
      new RegExp(
        [
          `INFO  \\[daemon\\] received ${word}; shutting down \\(children will be killed\\)\\n`,
          '.* INFO  \\[Server\\] shutdown requested\\n',
          '.* INFO  \\[Server\\] cleanup: closed 1 connection\\(s\\), killed 1 child process group\\(s\\)\\n',
        ].join('(.*\\n)*?'),
      ),
    );
    expect([existsSync(daemon.socket), existsSync(join(daemon.runDir, 'daemon.token'))]).toEqual([false, false]);
  });

  test('with -keep-children leaves them running, and the next daemon does not know them', async () => {
    await using daemon = await startDaemon({ profile, flags: ['-keep-children'] });
    await using client = await connectRaw(daemon);
    const fate = join(daemon.dir, 'fate');
    const script =
      'trap "" PIPE; read line; echo "end of input: $?" >>"$0"; echo lost; echo "write: $?" >>"$0"; sleep 3600';
    const { pid } = await client.spawn('p', 'sh', ['-c', script, fate], { wantPid: true });
    await client.spawn('q', 'sleep', ['3600']);
    const [target, child] = [daemon.process(), facts(pid)];
    signalProcess(target, 'SIGTERM');
    await untilEnded(target);
    await waitUntil(() => existsSync(fate) && readFileSync(fate, 'utf8').includes('write'), 'the child to notice');
    expect(readFileSync(fate, 'utf8')).toBe('end of input: 1\nwrite: 1\n');
    expect(isRunning(child)).toBe(true);
    expect(endLines(daemon)).toEqual([
      'INFO  [daemon] received terminated; shutting down (children will be kept)',
      'INFO  [Server] shutdown requested',
      'INFO  [Server] -keep-children: leaving 2 running child process(es) alive across shutdown',
      'INFO  [Server] cleanup: closed 1 connection(s), killed 0 child process group(s)',
    ]);
    await daemon.start();
    await using next = await connectRaw(daemon);
    expect((await next.reattach('p', 0)).found).toBe(false);
    expect(isRunning(child)).toBe(true);
  });
});

/** Runs the daemon in the foreground, as the launcher's child would, so that its exit code can be seen. */
async function foreground(
  daemon: TestDaemon,
  words: readonly string[],
): Promise<{ daemonProcess: ProcessFacts; exit: Promise<{ code: number | null; signal: string | null }> }> {
  const token = join(daemon.dir, 'own-token');
  writeFileSync(token, daemon.token);
  // The launcher makes the folder and the log; a refused start of it leaves both.
  await daemon.run(['-serve', '-socket', daemon.socket, '-token-file', '/nonexistent']);
  const child = spawn(
    'sh',
    [
      '-c',
      'exec "$@" >"$0" 2>&1',
      join(daemon.dir, 'output'),
      program,
      '-serve',
      ...['-socket', daemon.socket],
      ...['-token-file', token],
      ...words,
    ],
    {
      env: { ...daemon.env, CLAUSTRUM_DAEMON_CHILD: '1' },
      stdio: 'ignore',
    },
  );
  const exit = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  await waitUntil(() => existsSync(join(daemon.runDir, 'daemon.token')), 'the daemon to serve');
  return { daemonProcess: facts(child.pid as number), exit };
}

test('signals after the first change nothing: the end is carried out once, to its end', async () => {
  await using daemon = await startDaemon();
  await using client = await connectRaw(daemon);
  // A process in a session of its own holds the pipe, so the end takes its full second.
  await client.spawn('p', 'sh', ['-c', 'setsid sleep 3600 & echo ready; wait']);
  await client.untilOutput('p', 'ready');
  const target = daemon.process();
  signalProcess(target, 'SIGTERM');
  await client.untilClosed();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    signalProcess(target, signal);
  }
  await untilEnded(target);
  expect(endLines(daemon)).toEqual([
    'INFO  [daemon] received terminated; shutting down (children will be killed)',
    'INFO  [Server] shutdown requested',
    'INFO  [Server] cleanup: closed 1 connection(s), killed 1 child process group(s)',
  ]);
  expect([existsSync(daemon.socket), existsSync(join(daemon.runDir, 'daemon.token'))]).toEqual([false, false]);
});

test('a hang-up ends neither the daemon nor its sessions', async () => {
  await using daemon = await startDaemon();
  await using client = await connectRaw(daemon);
  await client.spawn('cat', 'cat');
  for (let count = 0; count < 3; count++) {
    daemon.signal('SIGHUP');
  }
  await client.stdin('cat', 'still here\n');
  await client.untilOutput('cat', 'still here');
  expect(endLines(daemon)).toEqual([]);
});

test('children start with every signal as it is by default', async () => {
  await using daemon = await startDaemon();
  await using client = await connectRaw(daemon);
  await client.spawn('p', 'cat', ['/proc/self/status']);
  await client.exitOf('p');
  for (const name of ['SigBlk', 'SigIgn', 'SigCgt']) {
    const mask = BigInt(`0x${new RegExp(`^${name}:\\t(.*)$`, 'm').exec(client.stream('p').text())?.[1]}`);
    // Signals 32 and 33 are the C library's own.
    expect([name, mask & 0x7fff_ffffn]).toEqual([name, 0n]);
  }
});

describe('an idle connection', () => {
  test('is closed without a frame, with a line in the log, and its processes run on', async () => {
    await using daemon = await startDaemon({ profile: 'current', timings: { idleCloseMs: 1000 } });
    await using client = await connectRaw(daemon);
    await client.spawn('cat', 'cat');
    await client.untilClosed();
    expect([client.lines.length, client.partial.length]).toEqual([1, 0]);
    expect(daemon.log()).toMatch(/ INFO {2}\[Server\] closing connection idle 1s in both directions: @\n/);
    await using next = await connectRaw(daemon);
    expect(await next.reattach('cat', 0)).toMatchObject({ found: true, running: true });
  });

  test('is not one that only receives, and not one that only sends', async () => {
    await using daemon = await startDaemon({ profile: 'current', timings: { idleCloseMs: 1000 } });
    await using sender = await connectRaw(daemon);
    const sending = setInterval(() => sender.send('\n'), 20);
    await sender.spawn('counter', ...fixture('count-forever.ts', '--every', '20'));
    await sender.waitFor(() => sender.stream('counter').count > 0, 'the counter to start');
    await using receiver = await connectRaw(daemon);
    await receiver.reattach('counter', 0);
    await using idle = await connectRaw(daemon);
    await idle.untilClosed();
    await using another = await connectRaw(daemon);
    await another.untilClosed();
    clearInterval(sending);
    expect([receiver.ended, sender.ended]).toEqual([false, false]);
  });
});

describe('an ended process', () => {
  test('can be replayed for its time, then its id is unknown', async () => {
    await using daemon = await startDaemon({ timings: { retentionMs: 700, retentionCheckMs: 50 } });
    await using client = await connectRaw(daemon);
    await client.spawn('p', 'echo', ['hello']);
    await client.exitOf('p');
    await client.spawn('running', 'cat');
    await using late = await connectRaw(daemon);
    expect(await late.reattach('p', 0)).toMatchObject({ found: true, running: false, firstSeq: 1, lastSeq: 2 });
    expect(late.stream('p').text()).toBe('hello\n');
    await waitUntil(async () => !(await client.reattach('p', 0)).found, 'the process to be forgotten');
    expect((await client.stdin('p', '')).error?.message).toBe('Process not found');
    expect((await client.request('process.killAndWait', { id: 'p' })).result).toEqual({ found: false, died: false });
    expect(await client.reattach('running', 0)).toMatchObject({ found: true, running: true });
  });

  test('is forgotten at the next spawn too, without waiting for the regular look', async () => {
    await using daemon = await startDaemon({ timings: { retentionMs: 1, retentionCheckMs: 600_000 } });
    await using client = await connectRaw(daemon);
    await client.spawn('p', 'true');
    await client.exitOf('p');
    expect((await client.reattach('p', 0)).found).toBe(true);
    await client.spawn('q', 'true');
    expect((await client.reattach('p', 0)).found).toBe(false);
  });
});

describe.each(profiles)('profile %s: a process whose pipe a grandchild holds', (profile) => {
  test(`counts as ${profile === 'next' ? 'ended' : 'running'} until its exit frame, and the log says why that took so long`, async () => {
    await using daemon = await startDaemon({ profile, timings: { pipeDrainMs: 1500 } });
    await using client = await connectRaw(daemon);
    await client.spawn('p', ...fixture('hold-pipe-open.sh'));
    await client.untilOutput('p', '\n');
    await using other = await connectRaw(daemon);
    const running = profile !== 'next';
    await waitUntil(async () => {
      const state = await other.reattach('p', 0);
      return other.stream('p').exit === undefined && state.running === running;
    }, 'the child to have ended');
    const answer = await other.stdin('p', 'x');
    if (running) {
      expect(answer.result).toMatchObject({ success: true });
    } else {
      expect(answer.error?.message).toBe('Process not running');
    }
    await other.exitOf('p');
    expect((await other.reattach('p', 99)).running).toBe(false);
    expect(daemon.log()).toMatch(
      /WARN {2}\[process\.Manager\] Process p: pipe drain grace expired \(grandchild holding stdio\?\); force-closing\n.*INFO {2}\[process\.Manager\] Process p exited with code 0\n/,
    );
  });
});

test('the log tells the life of each process', async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  await using client = await connectRaw(daemon);
  const { pid } = await client.spawn('p1', 'sh', ['-c', 'exit 3'], { wantPid: true });
  await client.exitOf('p1');
  await client.spawn('p2', 'cat');
  await client.kill('p2');
  await client.exitOf('p2');
  await client.spawn('p3', ...fixture('die-by-signal.sh'));
  await client.exitOf('p3');
  await client.request('process.spawn', { id: 'p4', command: '/nonexistent' });
  const texts = daemon.log();
  expect(texts).toContain(`INFO  [process.Manager] Process p1 started, PID=${pid}, command=sh\n`);
  expect(texts).toContain('INFO  [process.Manager] Process p1 exited with code 3\n');
  expect(texts).toContain(
    'INFO  [process.Manager] Process p2 exited with code -1, terminated by SIGTERM, signalled at client request\n',
  );
  expect(texts).toContain('INFO  [process.Manager] Process p3 exited with code -1, terminated by SIGSEGV\n');
  expect(texts).toMatch(
    /\[process\.Manager\] Failed to start process p4: fork\/exec \/nonexistent: no such file or directory\n/,
  );
});
