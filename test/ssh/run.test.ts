/** `holdfast run --host`: what an editor starts in place of a local agent server (docs/editor.md). */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { program, runHoldfast } from '../support/holdfast.ts';
import { findByArguments, signalProcess, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { sshHostForTests } from './sshd.ts';

const agentServer = fileURLToPath(new URL('../fixtures/agent-server.ts', import.meta.url));

const shared = sshHostForTests();

const words = (...more: readonly string[]) => [
  ...['run', '--host', 'host', '--ssh-command', join(shared.host.dir, 'client', 'ssh'), '--socket', shared.socket],
  ...more,
];

/** The ssh clients that lead to our daemon, by their arguments. */
const connections = () => findByArguments(['ssh', `holdfast -bridge -socket ${shared.socket}`]);

async function killConnection(): Promise<void> {
  const found = await waitUntil(() => (connections().length > 0 ? connections() : undefined), 'an ssh connection');
  for (const ssh of found) {
    signalProcess(ssh, 'SIGKILL');
    await untilEnded(ssh);
  }
}

/** An editor: speaks newline-delimited JSON-RPC with a child it has started. */
class Editor {
  readonly child: ChildProcess;
  readonly progress: number[] = [];
  stderr = '';
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #lastId = 0;

  constructor() {
    this.child = spawn(program, words('--', process.execPath, agentServer), { env: shared.host.env });
    onTestFinished(() => void this.child.kill('SIGKILL'));
    this.child.stderr?.on('data', (bytes: Buffer) => {
      this.stderr += bytes.toString();
    });
    createInterface({ input: this.child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const { id, result, params } = JSON.parse(line);
      if (id === undefined) {
        this.progress.push(params.step);
      } else {
        this.#waiting.get(id)?.(result);
      }
    });
  }

  call(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#lastId;
    this.child.stdin?.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }
}

test('an editor does not see that ssh was killed in the middle of a tool call, twice', {
  timeout: 60_000,
}, async () => {
  const editor = new Editor();
  const before = await editor.call('initialize');
  const steps = 150;
  const result = editor.call('tool/run', { steps });
  await waitUntil(() => editor.progress.length > 20 || undefined, 'the tool to be in its middle');
  await killConnection();
  await waitUntil(() => editor.progress.length > 90 || undefined, 'the tool to go on');
  await killConnection();
  expect(await result).toEqual({ steps });
  expect(editor.progress).toEqual(Array.from({ length: steps }, (_, index) => index + 1));
  expect(await editor.call('initialize')).toEqual(before);
  expect(await editor.call('log')).toEqual(['1 initialize', '2 tool/run', '3 initialize', '4 log']);
  const ended = new Promise((resolve) => editor.child.once('close', resolve));
  editor.child.stdin?.end();
  expect(await ended).toBe(0);
  expect(editor.stderr).toBe('');
});

test('a pipe through ssh has every byte once although ssh is killed', { timeout: 60_000 }, async () => {
  const child = spawn(program, words('--', 'tee', '/dev/stderr'), { env: shared.host.env });
  onTestFinished(() => void child.kill('SIGKILL'));
  const sums = { stdout: createHash('sha256'), stderr: createHash('sha256'), sent: createHash('sha256') };
  child.stdout.on('data', (bytes: Buffer) => sums.stdout.update(bytes));
  let tail = '';
  child.stderr.on('data', (bytes: Buffer) => {
    sums.stderr.update(bytes);
    tail = (tail + bytes.toString('latin1')).slice(-300);
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  for (let piece = 0; piece < 60; piece++) {
    const text = `${piece} `.repeat(20_000);
    sums.sent.update(text);
    if (!child.stdin.write(text)) {
      await new Promise((resolve) => child.stdin.once('drain', resolve));
    }
    if (piece % 20 === 10) {
      await killConnection();
    }
  }
  child.stdin.end();
  expect([await ended, tail]).toEqual([0, expect.stringMatching(/59 $/)]);
  const sent = sums.sent.digest('hex');
  expect({ stdout: sums.stdout.digest('hex'), stderr: sums.stderr.digest('hex') }).toEqual({
    stdout: sent,
    stderr: sent,
  });
});

test('the exit code comes over ssh, and so does what cannot be started there', async () => {
  const run = (...more: readonly string[]) => runHoldfast(words(...more), { env: shared.host.env });
  expect((await run('--', 'sh', '-c', 'exit 9')).code).toBe(9);
  expect((await run('--', 'no-such-program')).code).toBe(127);
  const nowhere = await runHoldfast(
    ['run', '--host', 'host', '--ssh-command', 'sh -c "echo no route to it >&2; exit 255"', '--', 'true'],
    { env: shared.host.env },
  );
  expect(nowhere.code).toBe(125);
  expect(nowhere.stderr).toMatch(/no route to it/);
});
