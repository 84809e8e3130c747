/** `holdfast run`: a remote program looks like a local child, over a connection that breaks (spec client.md §5). */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../platform/machine.ts';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { cleanEnvironment, program, type RunResult, runHoldfast } from '../support/holdfast.ts';
import { processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { type FaultProxy, startFaultProxy } from '../tools/fault-proxy.ts';
import { follow, type Running, run, startRun } from './running.ts';

describe.each(['S', 'current', 'next'] as const)('in profile %s', (profile) => {
  test('streams, folder, environment and exit code are those of the command', async () => {
    await using daemon = await startDaemon({ profile });
    const folder = temporaryFolder();
    const script = 'pwd; echo "$GREETING"; cat; echo complaint >&2; exit 7';
    const words = ['--cwd', folder, '--env', 'GREETING=good day', '--env', 'X=1', '--', 'sh', '-c', script];
    expect(await run(daemon, words, 'what was sent')).toEqual({
      code: 7,
      signal: null,
      stdout: `${folder}\ngood day\nwhat was sent`,
      stderr: 'complaint\n',
    });
  });

  test('a command that a signal ends gives 128 and its number', async () => {
    await using daemon = await startDaemon({ profile });
    expect((await run(daemon, ['--', 'sh', '-c', 'kill -TERM $$'])).code).toBe(143);
    expect((await run(daemon, ['--', 'sh', '-c', 'kill -KILL $$'])).code).toBe(137);
  });
});

test('a command that cannot be started says why, in one line, with the codes of a shell', async () => {
  await using daemon = await startDaemon();
  const rows: [words: string[], code: number, reason: RegExp][] = [
    [['--', 'no-such-program'], 127, /executable file not found/],
    [['--', '/no/such/program'], 127, /no such file or directory/],
    [['--', '/etc'], 126, /permission denied/],
    [['--cwd', '/no/such/folder', '--', 'true'], 125, /chdir \/no\/such\/folder/],
    [[], 125, /no command/],
    [['--resume', '--', 'true'], 125, /--resume needs --id/],
    [['--from-seq', '3', '--', 'true'], 125, /--from-seq goes with --resume/],
    [['--from-seq', 'first', '--', 'true'], 125, /--from-seq <n>.*'first' is invalid/],
    [['--env', 'BAD', '--', 'true'], 125, /--env <K=V>.*'BAD' is invalid. want NAME=value/],
    [['--ssh-command', 'ssh', '--', 'true'], 125, /--ssh-command goes with --host/],
    [['--ssh-command', '"ssh', '--', 'true'], 125, /a " is not closed/],
    [['--kep', '--', 'true'], 125, /unknown option '--kep'/],
    [['--id'], 125, /argument missing/],
  ];
  const results = await Promise.all(rows.map(([words]) => run(daemon, words)));
  for (const [index, [words, code, reason]] of rows.entries()) {
    const { code: found, stdout, stderr } = results[index] as RunResult;
    expect([words, found, stdout]).toEqual([words, code, '']);
    expect(stderr).toMatch(reason);
    expect(stderr).toMatch(/^holdfast run: [^\n]+\n$/);
  }
});

test('where nobody can tell how the command ended, the code is 255 and a line says so', async () => {
  await using daemon = await startDaemon({ profile: 'S', withoutExtensions: true });
  const { code, stderr } = await run(daemon, ['--', 'sh', '-c', 'kill -KILL $$']);
  expect(code).toBe(255);
  expect(stderr).toContain('holdfast run: a signal ended the command, and this daemon does not tell which\n');
});

test('--resume takes a session over, with --from-seq from behind that frame', async () => {
  await using daemon = await startDaemon();
  const script = 'echo one; read line; echo two; exit 3';
  const first = startRun(daemon, ['--id', 'job', '--keep', '--', 'sh', '-c', script]);
  await waitUntil(() => first.stdout() === 'one\n' || undefined, 'the first line');
  first.child.kill('SIGTERM');
  await first.ended;
  expect(await run(daemon, ['--id', 'job', '--resume', '--from-seq', '1'], 'go on\n')).toMatchObject({
    code: 3,
    stdout: 'two\n',
  });
  expect((await run(daemon, ['--id', 'job', '--resume'])).stdout).toBe('one\ntwo\n');
});

describe('a daemon that dies', () => {
  /** A command that answers, and its daemon, which the run has started itself. */
  async function startWithDaemon(words: readonly string[]) {
    const daemon = await prepareDaemon();
    const running = startRun(daemon, [...words, '--', 'sh', '-c', 'echo ready; exec cat']);
    await waitUntil(() => running.stdout() === 'ready\n' || undefined, 'the command to say ready');
    return { daemon, running };
  }

  test('costs a run with --durable a pause', async () => {
    const { daemon, running } = await startWithDaemon(['--durable']);
    await using _ = daemon;
    await daemon.kill();
    running.child.stdin?.end('still there\n');
    expect(await running.ended).toEqual({ code: 0, signal: null, stdout: 'ready\nstill there\n', stderr: '' });
  });

  test('takes the command of any other run with it: code 125 and the reason', async () => {
    const { daemon, running } = await startWithDaemon([]);
    await using _ = daemon;
    await daemon.kill();
    const { code, stderr } = await running.ended;
    expect(code).toBe(125);
    expect(stderr).toMatch(/^holdfast run: session \S+ the daemon no longer knows it: .*\n$/);
  });
});

test('without a daemon one is started, and it is found again by the next run', async () => {
  const home = temporaryFolder();
  const env = cleanEnvironment(home);
  const socket = join(home, 'run', 'rpc.sock');
  onTestFinished(async () => {
    await runHoldfast(['-stop', '-socket', socket], { env });
  });
  const words = ['run', '--socket', socket, '--wire-profile', 'current', '--', 'sh', '-c', 'echo $PPID'];
  const first = await runHoldfast(words, { env });
  expect(first).toMatchObject({ code: 0, stderr: '' });
  expect((await runHoldfast(words, { env })).stdout).toBe(first.stdout);
});

test('a daemon that cannot be started is code 125 and its reason', async () => {
  const home = temporaryFolder();
  const words = ['run', '--socket', join(home, 'run', 'rpc.sock'), '--wire-profile', 'tomorrow', '--', 'true'];
  const { code, stderr } = await runHoldfast(words, { env: cleanEnvironment(home) });
  expect(code).toBe(125);
  expect(stderr).toMatch(/tomorrow/);
});

test('a million lines from a pipe all reach the command', async () => {
  await using daemon = await startDaemon();
  const lines = 1_000_000;
  const script = `yes | head -${lines} | "$0" run --socket "$1" -- wc -l`;
  const child = follow(spawn('sh', ['-c', script, program, daemon.socket], { env: daemon.env }));
  child.child.stdin?.end();
  expect(await child.ended).toMatchObject({ code: 0, stdout: `${lines}\n`, stderr: '' });
});

/** A proxy beside the socket, where the token is found. */
function throughProxy(daemon: TestDaemon): Promise<FaultProxy> {
  return startFaultProxy({ listen: join(dirname(daemon.socket), 'proxy.sock'), target: daemon.socket });
}

describe('a connection that breaks', () => {
  test('is not seen by a pipe of three million lines, cut three times', { timeout: 120_000 }, async () => {
    await using daemon = await startDaemon();
    await using proxy = await throughProxy(daemon);
    const lines = 3_000_000;
    const running = startRun(daemon, ['--', 'sort', '-n'], proxy.address);
    const hash = createHash('sha256');
    running.child.stdout?.removeAllListeners('data').on('data', (bytes: Buffer) => hash.update(bytes));
    const seq = spawn('seq', ['1', String(lines)]);
    seq.stdout.pipe(running.child.stdin as NodeJS.WritableStream);
    for (const bytes of [200_000, 1_500_000, 700_000]) {
      const before = proxy.passed.toTarget;
      await waitUntil(() => proxy.passed.toTarget > before + bytes || undefined, 'more input to have passed');
      proxy.strike('cut');
      await waitUntil(() => proxy.connections > 0 || undefined, 'the connection to be made anew');
    }
    expect((await running.ended).code).toBe(0);
    const plain = spawn('sh', ['-c', `seq 1 ${lines} | sort -n | sha256sum`]);
    let expected = '';
    for await (const piece of plain.stdout) {
      expected += String(piece);
    }
    expect(hash.digest('hex')).toBe(expected.split(' ')[0]);
    expect(running.stderr()).toBe('');
  });

  test('loses no line of input and no line of output while a program answers', async () => {
    await using daemon = await startDaemon({ profile: 'current' });
    await using proxy = await throughProxy(daemon);
    const running = startRun(daemon, ['--', 'sh', '-c', 'while read line; do echo "got $line"; done'], proxy.address);
    let expected = '';
    for (let line = 1; line <= 12; line++) {
      running.child.stdin?.write(`${line}\n`);
      if (line % 4 === 0) {
        proxy.strike('cut');
      }
      expected += `got ${line}\n`;
      await waitUntil(() => running.stdout() === expected || undefined, `the answer to line ${line}`);
    }
    running.child.stdin?.end();
    expect(await running.ended).toMatchObject({ code: 0, stdout: expected, stderr: '' });
  });
});

describe('signals and closed ends', () => {
  const untilSays = (running: Running, text: string) =>
    waitUntil(() => running.stdout().includes(text) || undefined, `the command to say ${text}`);

  test.each([
    ['INT', 130],
    ['TERM', 143],
    ['HUP', 129],
  ] as const)('%s ends the command and gives %i', async (signal, code) => {
    await using daemon = await startDaemon();
    const running = startRun(daemon, ['--', 'sh', '-c', 'echo ready; exec sleep 600']);
    await untilSays(running, 'ready');
    running.child.kill(`SIG${signal}`);
    expect((await running.ended).code).toBe(code);
  });

  test('a command that handles TERM ends as it likes', async () => {
    await using daemon = await startDaemon();
    const script = 'trap "echo bye; exit 5" TERM; echo ready; while :; do sleep 0.05; done';
    const running = startRun(daemon, ['--', 'sh', '-c', script]);
    await untilSays(running, 'ready');
    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ code: 5, stdout: 'ready\nbye\n' });
  });

  test('a reader that goes away ends the command, as a pipe would', async () => {
    await using daemon = await startDaemon();
    const running = startRun(daemon, ['--', 'sh', '-c', 'echo $$; exec yes']);
    running.child.stdout?.removeAllListeners('data');
    let first = '';
    for await (const bytes of running.child.stdout as NodeJS.ReadableStream) {
      first += String(bytes);
      if (first.includes('\n')) {
        break;
      }
    }
    running.child.stdout?.destroy();
    expect((await running.ended).code).toBe(141);
    const facts = processFacts(Number(first.split('\n')[0]));
    if (facts !== undefined) {
      await untilEnded(facts);
    }
  });

  test('with --keep the command goes on after TERM, and is attached to by the words that were printed', async () => {
    await using daemon = await startDaemon();
    const gate = join(temporaryFolder(), 'gate');
    const script = `echo ready; while [ ! -e ${gate} ]; do sleep 0.05; done; echo done; exit 4`;
    const running = startRun(daemon, ['--id', 'kept', '--keep', '--', 'sh', '-c', script]);
    await untilSays(running, 'ready');
    running.child.kill('SIGTERM');
    const { code, stderr } = await running.ended;
    expect(code).toBe(143);
    expect(stderr).toContain('holdfast attach kept');
    const resumed = startRun(daemon, ['--id', 'kept', '--resume']);
    await untilSays(resumed, 'ready');
    writeFileSync(gate, '');
    expect(await resumed.ended).toMatchObject({ code: 4, stdout: 'ready\ndone\n' });
  });

  test('a session of that name is never taken from its reader without --resume', async () => {
    await using daemon = await startDaemon();
    const running = startRun(daemon, ['--id', 'mine', '--', 'sh', '-c', 'echo ready; cat']);
    await untilSays(running, 'ready');
    const second = await run(daemon, ['--id', 'mine', '--', 'true']);
    expect(second.code).toBe(125);
    expect(second.stderr).toMatch(/session mine exists already/);
    running.child.stdin?.end('still here\n');
    expect(await running.ended).toMatchObject({ code: 0, stdout: 'ready\nstill here\n' });
  });
});

describe('in a terminal', () => {
  const inTerminal = fileURLToPath(new URL('../fixtures/in-terminal.py', import.meta.url));

  function startThere(daemon: TestDaemon, words: readonly string[], socket = daemon.socket): Running {
    return follow(spawn('python3', [inTerminal, program, 'run', '--socket', socket, ...words], { env: daemon.env }));
  }

  test('Ctrl+C ends the command and gives 130', async () => {
    await using daemon = await startDaemon();
    const running = startThere(daemon, ['--', 'sh', '-c', 'echo ready; exec sleep 600']);
    await waitUntil(() => running.stdout().includes('ready') || undefined, 'the command to say ready');
    running.child.stdin?.write('\x03');
    expect((await running.ended).code).toBe(130);
  });

  test('a broken connection is told in one line, which is taken back', async () => {
    await using daemon = await startDaemon();
    await using proxy = await throughProxy(daemon);
    const running = startThere(daemon, ['--', 'sh', '-c', 'echo ready; exec cat'], proxy.address);
    await waitUntil(() => running.stdout().includes('ready') || undefined, 'the command to say ready');
    proxy.strike('cut');
    const note = /holdfast: connection lost \(.+?reconnecting\r\x1b\[K/;
    await waitUntil(() => note.test(running.stdout()) || undefined, 'the note to come and go');
    running.child.stdin?.write('still there\n\x04');
    expect(await running.ended).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('still there\r\nstill there'),
    });
  });

  test('--quiet tells nothing of it', async () => {
    await using daemon = await startDaemon();
    await using proxy = await throughProxy(daemon);
    const running = startThere(daemon, ['--quiet', '--', 'sh', '-c', 'echo ready; exec cat'], proxy.address);
    await waitUntil(() => running.stdout().includes('ready') || undefined, 'the command to say ready');
    proxy.strike('cut');
    running.child.stdin?.write('still there\n\x04');
    expect(await running.ended).toMatchObject({ code: 0, stdout: expect.not.stringContaining('holdfast') });
  });

  test('with --keep the command outlives its terminal, and its input stays open', async () => {
    await using daemon = await startDaemon();
    const said = join(temporaryFolder(), 'stderr');
    const words = ['--id', 'kept', '--keep', '--', 'sh', '-c', 'echo ready; exec cat'];
    const script = `exec "$@" 2>${said}`;
    const line = ['sh', '-c', script, 'sh', program, 'run', '--socket', daemon.socket, ...words];
    const running = follow(spawn('python3', [inTerminal, ...line], { env: daemon.env }));
    await waitUntil(() => running.stdout().includes('ready') || undefined, 'the command to say ready');
    running.child.stdin?.end();
    expect((await running.ended).code).toBe(129);
    expect(readFileSync(said, 'utf8')).toContain('holdfast attach kept');
    const resumed = startRun(daemon, ['--id', 'kept', '--resume']);
    resumed.child.stdin?.end('still there\n');
    expect(await resumed.ended).toMatchObject({ code: 0, stdout: 'ready\nstill there\n' });
  });
});
