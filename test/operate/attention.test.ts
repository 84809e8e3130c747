/** `holdfast attention` and `holdfast answer` with agents of the tests' own; the real one is in attention-cli.test.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, connect as dial } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Host, Session } from '../../src/client/index.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { program, type RunResult } from '../support/holdfast.ts';
import { connectTo } from '../support/host.ts';
import { expectSchema } from '../support/schemas.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';

interface Row {
  readonly daemon: string;
  readonly id: string;
  readonly requestId: string;
  readonly tool: string;
  readonly since: number;
  readonly input: string;
}

const asks = (requestId: string, input: object = { command: 'make' }): string =>
  JSON.stringify({
    type: 'control_request',
    request_id: requestId,
    request: { subtype: 'can_use_tool', tool_name: 'Bash', input },
  });

function verb(daemon: TestDaemon, name: string, words: readonly string[]): Promise<RunResult> {
  return daemon.run([name, '--socket', daemon.socket, ...words]);
}

async function waiting(daemon: TestDaemon): Promise<readonly Row[]> {
  const { code, stdout, stderr } = await verb(daemon, 'attention', ['--json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return expectSchema('attention', stdout) as readonly Row[];
}

const ids = (rows: readonly Row[]): string[] => rows.map(({ requestId }) => requestId);

/** An agent that has asked; `heard` are the lines it was given. */
async function startAgent(
  host: Host,
  id: string,
  line: string,
  before = '',
): Promise<{ session: Session; heard: string[] }> {
  const [command, args] = fixture('asking-agent.ts', before, line);
  const session = await host.spawn({ id, command, args });
  const heard: string[] = [];
  let text = '';
  const read = async (): Promise<void> => {
    for await (const bytes of session.stdout) {
      text += Buffer.from(bytes).toString();
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const piece = text.slice(0, end);
        text = text.slice(end + 1);
        if (piece.startsWith('{"type":"heard"')) {
          heard.push(JSON.parse(piece).line);
        }
      }
    }
  };
  read().catch(() => {});
  return { session, heard };
}

/** Responses only; the answers of others are among them. */
const responses = (heard: readonly string[]): readonly { response: { request_id: string; response: object } }[] =>
  heard.filter((line) => line.includes('control_response')).map((line) => JSON.parse(line));

test('a request shows with its session, tool and input; an answer is typed once, and a second one is refused with 4', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const { heard } = await startAgent(host, 'build', asks('r1'));
  const rows = await waitUntil(async () => {
    const found = await waiting(daemon);
    return found.length > 0 && found;
  }, 'the request to show');
  expect(rows).toMatchObject([
    { daemon: daemon.socket, id: 'build', requestId: 'r1', tool: 'Bash', input: '{"command":"make"}' },
  ]);
  expect(Math.abs((rows[0]?.since ?? 0) - Date.now())).toBeLessThan(60_000);
  const table = await verb(daemon, 'attention', []);
  expect(table.stdout).toMatch(/^SESSION +WAITS +TOOL +REQUEST +INPUT\nbuild +\d+s +Bash +r1 +\{"command":"make"\}\n$/);
  expect(JSON.parse((await verb(daemon, 'ps', ['--json'])).stdout)).toMatchObject([
    { id: 'build', waiting: [{ requestId: 'r1', tool: 'Bash' }] },
  ]);

  const first = await verb(daemon, 'answer', ['build', 'r1', 'allow', '--json']);
  expect(first).toMatchObject({ code: 0, stderr: '' });
  expect(expectSchema('answer', first.stdout)).toEqual({
    ...{ daemon: daemon.socket, id: 'build', requestId: 'r1', tool: 'Bash', behavior: 'allow' },
  });
  await waitUntil(() => heard.length > 0 || undefined, 'the answer to reach the agent');
  expect(heard.map((line) => JSON.parse(line))).toEqual([
    {
      type: 'control_response',
      response: {
        ...{ subtype: 'success', request_id: 'r1' },
        response: { behavior: 'allow', updatedInput: { command: 'make' } },
      },
    },
  ]);
  // The agent says nothing about the answer: that it was given is known from its input.
  expect(await waiting(daemon)).toEqual([]);
  const second = await verb(daemon, 'answer', ['build', 'r1', 'deny']);
  expect(second).toMatchObject({ code: 4, stdout: '' });
  expect(second.stderr).toBe('holdfast answer: request r1 does not wait any more: somebody else has answered it\n');
  expect(heard).toHaveLength(1);
});

test('each way to be refused has its exit code and a reason', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const { session } = await startAgent(host, 'a', asks('r1'));
  await waitUntil(async () => (await waiting(daemon)).length > 0 || undefined, 'the request to show');
  for (const [words, code, reason] of [
    [['a', 'r9', 'allow'], 3, /there is no request r9 in the session/],
    [['b', 'r1', 'allow'], 3, /there is no session b here/],
    [['a', 'r1', 'maybe'], 2, /maybe is no answer: want allow or deny/],
    [['a', 'r1', 'allow', '--message', 'x'], 2, /--message goes with deny/],
    [['a', 'r1'], 2, /missing required argument 'answer'/],
  ] as const) {
    const result = await verb(daemon, 'answer', words);
    expect([words, result.code, result.stdout]).toEqual([words, code, '']);
    expect(result.stderr).toMatch(reason);
  }
  await session.write('{"type":"end-turn"}\n');
  await waitUntil(async () => (await waiting(daemon)).length === 0 || undefined, 'the turn to end');
  const late = await verb(daemon, 'answer', ['a', 'r1', 'allow']);
  expect(late).toMatchObject({ code: 4, stderr: expect.stringContaining('the turn it belonged to is over') });
  await session.killAndWait();
  expect(await verb(daemon, 'answer', ['a', 'r1', 'allow'])).toMatchObject({ code: 4 });
  const nobody = ['--socket', join(daemon.dir, 'nobody.sock')];
  expect(await daemon.run(['answer', ...nobody, 'a', 'r1', 'allow'])).toMatchObject({ code: 3, stdout: '' });
  expect(await daemon.run(['attention', ...nobody])).toMatchObject({ code: 3, stdout: '' });
  expect(await daemon.run(['attention', ...nobody, '--watch'])).toMatchObject({ code: 3, stdout: '' });
  expect(await verb(daemon, 'attention', ['--frob'])).toMatchObject({ code: 2, stdout: '' });
});

test('many who answer at the same time type exactly one answer; the others are told so with 4', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const { heard } = await startAgent(host, 'a', asks('r1'));
  await waitUntil(async () => (await waiting(daemon)).length > 0 || undefined, 'the request to show');
  const words = (index: number): string[] =>
    index % 2 === 0 ? ['a', 'r1', 'allow'] : ['a', 'r1', 'deny', '--message', 'no'.repeat(100 * index)];
  const results = await Promise.all([0, 1, 2, 3].map((index) => verb(daemon, 'answer', words(index))));
  expect(results.map(({ code }) => code).sort()).toEqual([0, 4, 4, 4]);
  await waitUntil(() => heard.length > 0 || undefined, 'the answer');
  expect(await waiting(daemon)).toEqual([]);
  expect(responses(heard)).toHaveLength(1);
  expect(heard).toHaveLength(1);
});

test('a client that types meanwhile loses nothing, and half a line of its is not torn', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const { heard } = await startAgent(host, 'a', asks('r1'));
  await waitUntil(async () => (await waiting(daemon)).length > 0 || undefined, 'the request to show');
  await host.process.stdin({ id: 'a', data: Buffer.from('{"type":').toString('base64') });
  expect(await verb(daemon, 'answer', ['a', 'r1', 'allow'])).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('half a line'),
  });
  await host.process.stdin({ id: 'a', data: Buffer.from('"keep-alive"}\n').toString('base64') });
  expect(await verb(daemon, 'answer', ['a', 'r1', 'allow'])).toMatchObject({ code: 0 });
  await waitUntil(() => heard.length === 2 || undefined, 'both lines');
  expect(heard[0]).toBe('{"type":"keep-alive"}');
  expect(responses(heard)).toHaveLength(1);
});

test.each([
  ['the daemon holds', []],
  ['a keeper holds', ['-durable']],
])(
  'a client that counts its own input loses nothing to an answer from elsewhere, in a session that %s',
  async (_, flags) => {
    await using daemon = await startDaemon({ flags });
    await using owner = await connectRaw(daemon);
    const [command, args] = fixture('asking-agent.ts', '', asks('r1'));
    await owner.call('process.spawn', { id: 'a', command, args });
    let typed = 0;
    /** As clients of the contract type: each request with the number of bytes that went before. */
    const type = async (line: string): Promise<void> => {
      const data = Buffer.from(`${line}\n`);
      const reply = await owner.call('process.stdin', { id: 'a', data: data.toString('base64'), offset: typed });
      typed += data.length;
      expect(reply).toEqual({ success: true, applied: typed });
    };
    await type('{"n":1}');
    const watch = spawn(program, ['ps', '--socket', daemon.socket, '--json', '--watch', '100ms'], { env: daemon.env });
    onTestFinished(() => void watch.kill('SIGKILL'));
    let looks = '';
    watch.stdout.on('data', (bytes: Buffer) => {
      looks += bytes;
    });
    const lastLook = () => JSON.parse(looks.split('\n').at(-2) || '[]')[0]?.waiting?.length;
    await waitUntil(() => lastLook() === 1 || undefined, 'the request to show');
    expect(await verb(daemon, 'answer', ['a', 'r1', 'allow'])).toMatchObject({ code: 0, stderr: '' });
    await waitUntil(() => lastLook() === 0 || undefined, 'the answer to show');
    if (flags.length > 0) {
      await daemon.kill();
      await daemon.start();
    }
    await using again = flags.length > 0 ? await connectRaw(daemon) : owner;
    expect(await again.call('process.reattach', { id: 'a', fromSeq: 0 })).toMatchObject({ stdinApplied: typed });
    const rest = Buffer.from('{"n":2}\n');
    const stdin = { id: 'a', data: rest.toString('base64'), offset: typed };
    expect(await again.call('process.stdin', stdin)).toEqual({ success: true, applied: typed + rest.length });
    await again.waitFor(
      () => again.stream('a').text().includes('{\\"n\\":2}') || undefined,
      'the last line to be heard',
    );
    const heard = again
      .stream('a')
      .text()
      .split('\n')
      .filter((line) => line.startsWith('{"type":"heard"'))
      .map((line) => JSON.parse(JSON.parse(line).line));
    expect(heard).toMatchObject([{ n: 1 }, { response: { request_id: 'r1' } }, { n: 2 }]);
    expect(await verb(daemon, 'answer', ['a', 'r1', 'deny'])).toMatchObject({ code: 4 });
  },
);

test('a daemon of an older release counts the answer among the bytes of the client, who is told so', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  await startAgent(host, 'a', asks('r1'));
  // What it does not know is cut out of its answers.
  const older = join(daemon.runDir, 'older.sock');
  const relay = createServer((client) => {
    const target = dial(daemon.socket);
    client.on('error', () => target.destroy()).pipe(target);
    target.on('error', () => client.destroy());
    createInterface({ input: target })
      .on('line', (line) => client.write(`${line.replace(/,"aside":\d+/g, '')}\n`))
      .on('close', () => client.end());
  });
  await new Promise<void>((resolve) => relay.listen(older, resolve));
  onTestFinished(() => void relay.close());
  const answered = await daemon.run(['answer', '--socket', older, 'a', 'r1', 'allow']);
  expect(answered).toMatchObject({ code: 0, stdout: 'allowed: Bash for session a\n' });
  expect(answered.stderr).toMatch(
    /^holdfast answer: this daemon, or its keeper, is of an older release .*stdinApplied/,
  );
  expect((await verb(daemon, 'answer', ['a', 'r1', 'allow'])).code).toBe(4);
});

describe('an agent that does not behave', () => {
  const odd = 'r\u001b[31m\u202e\nx';
  const shown = 'r\\x1b[31m\\u{202e}\\x0ax';

  test('control characters in a request id reach no terminal, and the id can be answered as it is shown', async () => {
    await using daemon = await startDaemon();
    await using host = await connectTo(daemon);
    const { heard } = await startAgent(host, 'a\u001b]0;x\u0007', asks(odd, { command: '\u001b[2J\u009b' }));
    const rows = await waitUntil(async () => {
      const found = await waiting(daemon);
      return found.length > 0 && found;
    }, 'the request to show');
    expect(ids(rows)).toEqual([odd]);
    const table = await verb(daemon, 'attention', []);
    expect(table.stdout).toContain(shown);
    expect(table.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    const answered = await verb(daemon, 'answer', ['a\u001b]0;x\u0007', shown, 'allow']);
    expect(answered).toMatchObject({ code: 0, stdout: 'allowed: Bash for session a\\x1b]0;x\\x07\n' });
    await waitUntil(() => heard.length > 0 || undefined, 'the answer');
    expect(responses(heard)[0]?.response.request_id).toBe(odd);
  });

  test('broken JSON and a line of 10 MB in front of a request change nothing', { timeout: 120_000 }, async () => {
    await using daemon = await startDaemon();
    await using host = await connectTo(daemon);
    const script = `process.stdout.write('{"type":"control_request"\\n' + 'x'.repeat(10_000_000) + '\\n{]\\n' + ${JSON.stringify(`${asks('r1')}\n`)}); process.stdin.resume()`;
    const session = await host.spawn({ id: 'a', command: process.execPath, args: ['-e', script] });
    await session.detach();
    const rows = await waitUntil(
      async () => {
        const found = await waiting(daemon);
        return found.length > 0 && found;
      },
      'the request to show',
      { timeoutMs: 60_000 },
    );
    expect(ids(rows)).toEqual(['r1']);
    expect(await verb(daemon, 'answer', ['a', 'r1', 'deny'])).toMatchObject({ code: 0 });
    expect(await waiting(daemon)).toEqual([]);
  });
});

interface Watcher {
  readonly child: ChildProcess;
  rows(): Row[];
  readonly ended: Promise<number | null>;
}

function startWatch(daemon: TestDaemon, words: readonly string[] = []): Watcher {
  const child = spawn(program, ['attention', '--socket', daemon.socket, '--watch', '--json', ...words], {
    env: daemon.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let text = '';
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes;
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  return {
    child,
    ended,
    rows: () =>
      text
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
  };
}

describe('--watch', () => {
  test('tells each new request once, runs --exec with it, and goes on over a restart of a durable daemon', {
    timeout: 90_000,
  }, async () => {
    await using daemon = await startDaemon({ flags: ['-durable'] });
    const log = join(daemon.dir, 'told');
    const watcher = startWatch(daemon, ['--exec', `sh -c 'cat >>${log}'`]);
    await using host = await connectTo(daemon);
    await startAgent(host, 'a', asks('r1'));
    await waitUntil(() => watcher.rows().length > 0 || undefined, 'the first request');

    await daemon.kill();
    await daemon.start();
    // What was asked and answered before the restart is known after it.
    await waitUntil(
      async () => ids(await waiting(daemon)).includes('r1') || undefined,
      'the request after the restart',
    );
    await using again = await connectTo(daemon);
    const { heard } = await startAgent(again, 'b', asks('r2'));
    await waitUntil(() => watcher.rows().length > 1 || undefined, 'the second request');
    expect(ids(watcher.rows())).toEqual(['r1', 'r2']);
    expect(await verb(daemon, 'answer', ['b', 'r2', 'allow'])).toMatchObject({ code: 0, stderr: '' });
    await daemon.kill();
    await daemon.start();
    await waitUntil(async () => ids(await waiting(daemon)).join() === 'r1' || undefined, 'only the first to wait');
    expect(await verb(daemon, 'answer', ['b', 'r2', 'allow'])).toMatchObject({ code: 4 });
    expect(responses(heard).length).toBeLessThanOrEqual(1);
    await waitUntil(() => readFileSync(log, 'utf8').split('\n').length === 3 || undefined, 'both to be run');
    const told = readFileSync(log, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Row);
    expect(ids(told)).toEqual(['r1', 'r2']);
  });

  test('ends without a word when its reader goes', async () => {
    await using daemon = await startDaemon();
    await using host = await connectTo(daemon);
    await startAgent(host, 'a', asks('r1'));
    const watcher = startWatch(daemon);
    await waitUntil(() => watcher.rows().length > 0 || undefined, 'the request');
    watcher.child.stdout?.destroy();
    await startAgent(host, 'b', asks('r2'));
    expect(await watcher.ended).toBe(0);
  });
});

test('--host asks and answers over there', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  await startAgent(host, 'a', asks('r1'));
  await waitUntil(async () => (await waiting(daemon)).length > 0 || undefined, 'the request to show');
  const ssh = join(daemon.dir, 'ssh');
  writeFileSync(ssh, `#!/bin/sh\nshift\nPATH=${dirname(program)}:$PATH exec sh -c "$*"\n`, { mode: 0o755 });
  const there = ['--host', 'box', '--ssh-command', ssh];
  const asked = await verb(daemon, 'attention', [...there, '--json']);
  expect(expectSchema('attention', asked.stdout)).toMatchObject([{ host: 'box', id: 'a', requestId: 'r1' }]);
  expect(await verb(daemon, 'answer', [...there, 'a', 'r1', 'allow'])).toMatchObject({ code: 0, stderr: '' });
  expect(await verb(daemon, 'answer', [...there, 'a', 'r1', 'allow'])).toMatchObject({ code: 4, stdout: '' });
});
