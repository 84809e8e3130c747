/** `holdfast attach`, `logs`, `status` and `token` (spec client.md §6, operators.md). */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../platform/machine.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { program, runHoldfast } from '../support/holdfast.ts';
import { waitUntil } from '../support/wait.ts';
import { run, startRun } from './running.ts';

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
