/** `holdfast run`: a remote program looks like a local child, over a connection that breaks (spec client.md §5). */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../platform/machine.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { cleanEnvironment, program, type RunResult, runHoldfast } from '../support/holdfast.ts';
import { processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { startFaultProxy } from '../tools/fault-proxy.ts';

const run = (daemon: TestDaemon, words: readonly string[], input?: string | Buffer): Promise<RunResult> =>
  runHoldfast(['run', '--socket', daemon.socket, ...words], {
    env: daemon.env,
    ...(input === undefined ? {} : { input }),
  });

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<RunResult>;
  stdout(): string;
  stderr(): string;
}

/** A run that the test looks at while it goes on. */
function startRun(daemon: TestDaemon, words: readonly string[], socket = daemon.socket): Running {
  const child = spawn(program, ['run', '--socket', socket, ...words], { env: daemon.env });
  onTestFinished(() => void child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString('latin1');
  });
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString('latin1');
  });
  child.stdin.on('error', () => {});
  const ended = new Promise<RunResult>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, ended, stdout: () => stdout, stderr: () => stderr };
}

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
  for (const [words, code, reason] of [
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
  ] as const) {
    const { code: found, stdout, stderr } = await run(daemon, words);
    expect([words, found, stdout]).toEqual([words, code, '']);
    expect(stderr).toMatch(reason);
    expect(stderr).toMatch(/^holdfast run: [^\n]+\n$/);
  }
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

describe('a connection that breaks', () => {
  /** Through a proxy beside the socket, where the token is found. */
  async function throughProxy(daemon: TestDaemon) {
    const socket = join(dirname(daemon.socket), 'proxy.sock');
    return startFaultProxy({ listen: socket, target: daemon.socket });
  }

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

  test('INT at the keyboard ends the command and gives 130', async () => {
    await using daemon = await startDaemon();
    const running = startRun(daemon, ['--', 'sh', '-c', 'echo ready; exec sleep 600']);
    await untilSays(running, 'ready');
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(130);
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

describe('looking at a session', () => {
  const holdfast = (daemon: TestDaemon, words: readonly string[]) => {
    const [verb = '', ...rest] = words;
    return runHoldfast([verb, '--socket', daemon.socket, ...rest], { env: daemon.env });
  };

  test('logs prints what was written, each stream to its own, and the last frame', async () => {
    await using daemon = await startDaemon();
    await run(daemon, ['--id', 'job', '--', 'sh', '-c', 'echo out; sleep 0.1; echo err >&2; exit 3']);
    expect(await holdfast(daemon, ['logs', 'job'])).toEqual({
      code: 0,
      signal: null,
      stdout: 'out\n',
      stderr: 'err\nlast seq 3\n',
    });
    expect((await holdfast(daemon, ['logs', 'job', '--stdout'])).stderr).toBe('last seq 3\n');
    expect((await holdfast(daemon, ['logs', 'job', '--from-seq', '1'])).stdout).toBe('');
    const { stdout } = await holdfast(daemon, ['logs', 'job', '--json']);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { seq: 1, stream: 'stdout', text: 'out\n' },
      { seq: 2, stream: 'stderr', text: 'err\n' },
      { type: 'exit', seq: 3, exitCode: 3 },
    ]);
  });

  test('bytes that are not UTF-8 come as base64 in JSON, and as they are into a pipe', async () => {
    await using daemon = await startDaemon();
    await run(daemon, ['--id', 'bytes', '--', 'printf', '\\377\\033[31m']);
    const json = await holdfast(daemon, ['logs', 'bytes', '--json']);
    expect(JSON.parse(json.stdout.split('\n')[0] ?? '')).toEqual({ seq: 1, stream: 'stdout', data: '/xtbMzFt' });
    const child = spawn(program, ['logs', '--socket', daemon.socket, 'bytes'], { env: daemon.env });
    const pieces: Buffer[] = [];
    for await (const piece of child.stdout) {
      pieces.push(piece as Buffer);
    }
    expect(Buffer.concat(pieces).toString('latin1')).toBe('\xff\x1b[31m');
  });

  test('an agent that prints JSON lines is shown one line an event, and never obeyed', async () => {
    await using daemon = await startDaemon();
    const events = [
      { type: 'system', subtype: 'init', model: 'm', cwd: '/srv' },
      { type: 'assistant', message: { content: [{ type: 'text', text: 'I look\u001b[2J.' }] } },
      { type: 'assistant', message: { content: [{ type: 'tool_use', name: 'Bash', input: { command: 'ls' } }] } },
      { type: 'stream_event', event: {} },
      { type: 'user', message: { content: [{ type: 'tool_result', content: 'a\nb' }] } },
      {
        type: 'control_request',
        request_id: 'r7',
        request: { subtype: 'can_use_tool', tool_name: 'Write', input: { path: 'x' } },
      },
      { type: 'result', subtype: 'success', is_error: false, result: 'done' },
    ];
    const text = `${events.map((event) => JSON.stringify(event)).join('\n')}\nnot JSON`;
    await run(daemon, ['--id', 'agent', '--', 'cat'], text);
    expect((await holdfast(daemon, ['logs', 'agent', '--events'])).stdout.split('\n')).toEqual([
      'system: init m /srv',
      'assistant: I look\\x1b[2J.',
      'tool: Bash {"command":"ls"}',
      'tool result: a b',
      'waits: asks to use Write {"path":"x"} (request r7)',
      'result: done',
      'not JSON',
      '',
    ]);
  });

  test('attach shows a session live without taking it; --take and --input type into it', async () => {
    await using daemon = await startDaemon();
    const running = startRun(daemon, ['--id', 'live', '--', 'sh', '-c', 'echo ready; exec cat']);
    await waitUntil(() => running.stdout().includes('ready') || undefined, 'the command to say ready');
    const look = spawn(program, ['attach', '--socket', daemon.socket, 'live'], { env: daemon.env });
    let seen = '';
    look.stdout.on('data', (bytes: Buffer) => {
      seen += bytes.toString();
    });
    running.child.stdin?.write('from its owner\n');
    await waitUntil(() => seen === 'ready\nfrom its owner\n' || undefined, 'the look to see both lines');
    await waitUntil(() => running.stdout().includes('from its owner') || undefined, 'the owner to see it too');
    look.kill('SIGINT');
    await new Promise((resolve) => look.once('close', resolve));
    const words = ['attach', '--socket', daemon.socket, 'live', '--take', '--input', '--from-seq', '2'];
    const taken = await runHoldfast(words, { env: daemon.env, input: 'typed\n' });
    expect(taken).toMatchObject({ code: 0, stdout: 'typed\n' });
    expect(taken.stderr).toMatch(/the program has ended: 0\n/);
    expect((await holdfast(daemon, ['attach', 'live', '--input'])).code).toBe(2);
  });

  test('a session that is not there is told, with code 3; so is a daemon that is not there', async () => {
    await using daemon = await startDaemon();
    const missing = await holdfast(daemon, ['logs', 'nobody']);
    expect(missing.code).toBe(3);
    expect(missing.stderr).toMatch(/there is no session nobody here/);
    const socket = join(temporaryFolder(), 'rpc.sock');
    for (const words of [
      ['logs', '--socket', socket, 'x'],
      ['status', '--socket', socket],
    ]) {
      const { code, stderr } = await runHoldfast(words, { env: daemon.env });
      expect([words[0], code]).toEqual([words[0], 3]);
      expect(stderr).toMatch(/nobody answers at .*rpc\.sock: ENOENT/);
    }
  });

  test('status names the keeper of a durable daemon, also before anything was started there', async () => {
    await using daemon = await startDaemon({ flags: ['-durable'] });
    expect((await holdfast(daemon, ['status'])).stdout).toMatch(/ {2}0 running, 0 ended {2}keeper \d+\n$/);
  });

  test('status says what runs, and token prints what the next client needs', async () => {
    await using daemon = await startDaemon({ profile: 'next' });
    const running = startRun(daemon, ['--', 'sh', '-c', 'echo ready; cat']);
    await waitUntil(() => running.stdout().includes('ready') || undefined, 'the command to say ready');
    const line = (await holdfast(daemon, ['status'])).stdout;
    expect(line).toMatch(/rpc\.sock {2}pid \d+ {2}version \S+ {2}profile next {2}1 running, 0 ended {2}not durable\n$/);
    const rows = JSON.parse((await holdfast(daemon, ['status', '--json'])).stdout);
    expect(rows).toMatchObject([{ socket: daemon.socket, profile: 'next', running: 1, ended: 0 }]);
    expect(await holdfast(daemon, ['token'])).toMatchObject({ code: 0, stdout: `${daemon.token}\n`, stderr: '' });
    expect(JSON.parse((await holdfast(daemon, ['token', '--json'])).stdout)).toEqual({ token: daemon.token });
    const none = await runHoldfast(['token', '--socket', join(temporaryFolder(), 'rpc.sock')], { env: daemon.env });
    expect(none.code).toBe(3);
    expect(readFileSync(join(daemon.runDir, 'daemon.token'), 'utf8')).toBe(daemon.token);
  });
});
