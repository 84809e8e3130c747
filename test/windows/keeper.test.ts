/** Durable sessions on Windows (spec durable.md §7): the keeper owns the jobs, so survival and the end of a whole tree go together. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFailed, onTestFinished, test } from 'vitest';
import { maxSlabBytes } from '../../src/engine/local/replay-window.ts';
import { waitUntil } from '../support/wait.ts';
import { platform, WindowsDaemon } from './daemon.ts';

const fixtureFile = (name: string) => fileURLToPath(new URL(`../platform/fixtures/${name}`, import.meta.url));

/** Lines over the pipe, one request after the other. */
class Lines {
  readonly #socket: Socket;
  readonly #token: string;
  readonly frames: string[] = [];
  #text = '';
  #id = 0;

  private constructor(socket: Socket, token: string) {
    this.#socket = socket;
    this.#token = token;
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      const lines = (this.#text + bytes.toString()).split('\n');
      this.#text = lines.pop() ?? '';
      this.frames.push(...lines);
    });
    onTestFinished(() => void socket.destroy());
  }

  close(): void {
    this.#socket.destroy();
  }

  static async open(daemon: WindowsDaemon): Promise<Lines> {
    return new Lines(await platform.transport.dial(daemon.socketPath, { timeoutMs: 5_000 }), daemon.token);
  }

  // biome-ignore lint/suspicious/noExplicitAny: a test states the shape it expects right where it looks at it.
  async ask(method: string, params: object = {}): Promise<any> {
    this.#id++;
    const id = this.#id;
    this.#socket.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params, auth: this.#token })}\n`);
    const line = await waitUntil(
      () => this.frames.find((each) => each.startsWith(`{"jsonrpc":"2.0","id":${id},`)),
      `the reply to ${method}`,
      { timeoutMs: 60_000 },
    );
    return JSON.parse(line);
  }
}

const untilGone = (pid: number) =>
  waitUntil(() => platform.processes.identify(pid) === undefined || undefined, `process ${pid} to be gone`);

function terminate(pid: number): void {
  const identity = platform.processes.identify(pid);
  if (identity !== undefined) {
    platform.processes.signalIfSame(identity, 'KILL');
  }
}

/** A daemon with a session that has started another process; what is left of it ends with the test. */
async function withSession() {
  const daemon = new WindowsDaemon({ flags: ['-durable'] });
  onTestFailed(() => console.error(daemon.log()));
  await daemon.start();
  const first = await Lines.open(daemon);
  const { result: spawned, error } = await first.ask('process.spawn', {
    id: 'p',
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', fixtureFile('start-a-grandchild.ts')],
    wantPid: true,
  });
  expect(error).toBeUndefined();
  const { result: about } = await first.ask('holdfast.describe');
  onTestFinished(async () => {
    terminate(about.keeper.pid);
    await daemon.stop();
  });
  const grandchild = await waitUntil(
    () => {
      const frame = first.frames.find((line) => line.includes('"stream":"stdout"'));
      const text = frame === undefined ? '' : Buffer.from(JSON.parse(frame).data, 'base64').toString();
      return Number(/\d+/.exec(text)?.[0]) || undefined;
    },
    'the grandchild',
    { timeoutMs: 60_000 },
  );
  return { daemon, first, pid: spawned.pid as number, grandchild, about };
}

test('a daemon that is terminated ends no session: the next one finds it, with the same pid', {
  timeout: 240_000,
}, async () => {
  const { daemon, pid, grandchild, about } = await withSession();
  terminate(about.pid);
  await untilGone(about.pid);
  expect(platform.processes.identify(pid)).toBeDefined();
  expect(platform.processes.identify(grandchild)).toBeDefined();
  await daemon.start();
  const second = await Lines.open(daemon);
  const { result } = await second.ask('process.reattach', { id: 'p', fromSeq: 0, wantPid: true });
  expect(result).toMatchObject({ found: true, running: true, pid });
  expect(daemon.log()).toMatch(/\[keeper\] adopted pid \d+ \(version \S+, channel \d+\): 1 running, 0 ended sessions/);
  // A kill still takes the whole tree.
  expect((await second.ask('process.killAndWait', { id: 'p', signal: 'KILL' })).result).toMatchObject({ died: true });
  await untilGone(pid);
  await untilGone(grandchild);
});

/** Segments of the keeper's memory (src/keeper/host/shared-blocks.ts). */
const segmentBytes = 32 * maxSlabBytes;

/** Whether the process has memory to share with frames in it. Its handles have small numbers, multiples of four. */
function sharesFrames(pid: number): boolean {
  for (let handle = 4; handle < 8_000; handle += 4) {
    try {
      const memory = platform.sharedMemory?.open(pid, String(handle), segmentBytes);
      if (memory?.segment(0).includes('{"type":"stream"') === true) {
        return true;
      }
    } catch {
      // It is another handle, or none.
    }
  }
  return false;
}

test('what is printed without a reader comes byte for byte from the spool and from memory that the keeper shares', {
  timeout: 240_000,
}, async () => {
  const daemon = new WindowsDaemon({ flags: ['-durable', '-spool-bytes', '100000000'] });
  onTestFailed(() => console.error(daemon.log()));
  await daemon.start();
  const first = await Lines.open(daemon);
  const sum = join(daemon.folder, 'sum');
  const noise = fileURLToPath(new URL('../fixtures/write-noise.ts', import.meta.url));
  const args = ['--disable-warning=ExperimentalWarning', noise, '--bytes', '20000000', '--sha256', sum];
  await first.ask('process.spawn', { id: 'p', command: process.execPath, args });
  const { result: about } = await first.ask('holdfast.describe');
  onTestFinished(async () => {
    terminate(about.keeper.pid);
    await daemon.stop();
  });
  first.close();
  await waitUntil(() => existsSync(sum), 'the end of the output', { timeoutMs: 120_000 });
  const second = await Lines.open(daemon);
  const { result } = await second.ask('process.reattach', { id: 'p', fromSeq: 0 });
  expect(result).toMatchObject({ found: true });
  const frames = () => second.frames.filter((line) => line.startsWith('{"type":"stream"'));
  await waitUntil(() => frames().at(-1)?.includes('"stream":"exit"'), 'the exit frame', { timeoutMs: 120_000 });
  const hash = createHash('sha256');
  for (const frame of frames().map((line) => JSON.parse(line))) {
    if (frame.stream === 'stdout') {
      hash.update(Buffer.from(frame.data, 'base64'));
    }
  }
  expect(hash.digest('hex')).toBe(readFileSync(sum, 'utf8'));
  expect(sharesFrames(about.keeper.pid)).toBe(true);
  expect(daemon.log()).not.toContain('crosses the channel as bytes');
});

test('the end of the keeper ends everything it owns, and is told', { timeout: 240_000 }, async () => {
  const { daemon, first, pid, grandchild, about } = await withSession();
  terminate(about.keeper.pid);
  await untilGone(about.keeper.pid);
  await untilGone(pid);
  await untilGone(grandchild);
  await waitUntil(() => first.frames.some((line) => line.includes('"stream":"exit"')) || undefined, 'the exit frame');
  expect(first.frames.find((line) => line.includes('"stream":"exit"'))).toContain('"exitCode":-1');
  const { result } = await first.ask('process.spawn', { id: 'q', command: process.execPath, args: ['--version'] });
  expect(result).toEqual({ success: true });
  await first.ask('holdfast.release', { all: true });
  const { result: after } = await first.ask('holdfast.describe');
  onTestFinished(() => terminate(after.keeper.pid));
  expect(daemon.log()).toMatch(/\[keeper\] pid \d+ has died/);
});
