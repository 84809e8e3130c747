/** `-bridge` with pipes on both sides, as shells and sshd give them: the way of platform/posix/relay.ts on Linux. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadPlatform } from '../../platform/load.ts';
import type { Child, ExitStatus } from '../../platform/processes.ts';
import { cleanEnvironment, type Environment, program } from '../support/holdfast.ts';
import { procFiles, testNeeding } from '../support/needs.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { waitUntil } from '../support/wait.ts';

const { processes } = await loadPlatform();
let directory: string;
let socketPath: string;
let server: Server;
let connections: Socket[];
let bridges: PipedBridge[];

beforeEach(() => {
  directory = mkdtempSync('/tmp/hf-');
  socketPath = join(directory, 's');
  connections = [];
  bridges = [];
});

afterEach(async () => {
  for (const bridge of bridges) {
    bridge.child.signal('KILL', 'tree');
  }
  await Promise.all(bridges.map((bridge) => bridge.ended));
  for (const connection of connections) {
    connection.destroy();
  }
  server.close();
  await removeFolder(directory);
});

/** A daemon stand-in: what it does with a connection is the test's. */
async function serve(onConnection: (socket: Socket) => void): Promise<void> {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.push(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(socketPath);
  await once(server, 'listening');
}

interface BridgeOptions {
  readonly reading?: boolean;
  /** The program and its first words. */
  readonly command?: readonly string[];
  readonly env?: Environment;
}

/** The bridge as a child with three real pipes. */
class PipedBridge {
  readonly received: Buffer[] = [];
  readonly errors: Buffer[] = [];
  readonly child: Child;
  readonly ended: Promise<ExitStatus>;
  /** Output is read only while this is set. */
  reading: boolean;

  constructor({ reading = true, command = [program], env = {} }: BridgeOptions = {}) {
    this.reading = reading;
    const end = Promise.withResolvers<ExitStatus>();
    this.ended = end.promise;
    let left = 3;
    const oneLess = (): void => {
      if (--left === 0) {
        end.resolve(this.child.collect());
      }
    };
    const [file = program, ...words] = command;
    this.child = processes.spawn({
      command: file,
      args: [...words, '-bridge', '-socket', socketPath],
      cwd: undefined,
      env: Object.entries(cleanEnvironment(directory, env)).map(([name, value]) => [name, value ?? ''] as const),
      maxChunkBytes: 65_536,
      onOutput: (stream, bytes) => {
        (stream === 'stdout' ? this.received : this.errors).push(Buffer.from(bytes));
        return this.reading;
      },
      onOutputEnd: oneLess,
      onEnd: oneLess,
    });
    bridges.push(this);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.received);
  }

  readAgain(): void {
    this.reading = true;
    this.child.resume('stdout');
  }
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

test('bytes travel both ways unchanged, and the end of input comes back as the end of output', async () => {
  await serve((socket) => socket.pipe(socket));
  const sent = randomBytes(5_000_001);
  const bridge = new PipedBridge();
  bridge.child.writeInput(sent, () => bridge.child.closeInput());
  expect(await bridge.ended).toEqual({ code: 0, signal: undefined });
  expect(digest(bridge.bytes)).toBe(digest(sent));
  expect(Buffer.concat(bridge.errors).toString()).toBe('');
});

testNeeding(procFiles)('a bridge between pipes splices, by native code', {}, async () => {
  await serve((socket) => socket.pipe(socket));
  const bridge = new PipedBridge();
  bridge.child.writeInput(Buffer.from('hello'), () => {});
  await waitUntil(() => bridge.bytes.length > 0, 'the echo');
  expect(readFileSync(`/proc/${bridge.child.pid}/maps`, 'utf8')).toContain('koffi.node');
  bridge.child.closeInput();
  expect(await bridge.ended).toEqual({ code: 0, signal: undefined });
});

testNeeding(procFiles)(
  'a bridge keeps its compiled code as soon as it is idle, not only when it ends',
  {},
  async () => {
    await serve((socket) => socket.pipe(socket));
    const cache = join(directory, 'compiled');
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
    const bridge = new PipedBridge({ command: [process.execPath, main], env: { NODE_COMPILE_CACHE: cache } });
    bridge.child.writeInput(Buffer.from('hello'), () => {});
    await waitUntil(() => bridge.bytes.length > 0, 'the echo');
    const kept = await waitUntil(() => {
      const found = existsSync(cache) ? readdirSync(cache, { recursive: true, withFileTypes: true }) : [];
      return found.filter((entry) => entry.isFile()).length > 10 && found;
    }, 'the compiled code');
    expect(kept.length).toBeGreaterThan(10);
    // It is still at work.
    bridge.child.closeInput();
    expect(await bridge.ended).toEqual({ code: 0, signal: undefined });
  },
);

test('a daemon that closes ends the bridge with input still open, and every byte arrives', async () => {
  const words = randomBytes(700_000);
  await serve((socket) => socket.end(words));
  const bridge = new PipedBridge();
  expect(await bridge.ended).toEqual({ code: 0, signal: undefined });
  expect(digest(bridge.bytes)).toBe(digest(words));
});

test('what the daemon said before it was gone with unread input arrives', async () => {
  const words = randomBytes(150_000);
  await serve((socket) => {
    // Closing with unread input resets the connection: the hardest way to go.
    socket.pause();
    socket.write(words, () => setImmediate(() => socket.destroy()));
  });
  const bridge = new PipedBridge();
  bridge.child.writeInput(Buffer.alloc(3_000_000), () => {});
  expect(await bridge.ended).toEqual({ code: 0, signal: undefined });
  expect(digest(bridge.bytes)).toBe(digest(words));
});

test('a client that stops reading does not hold up what it sends, and loses nothing', async () => {
  const words = randomBytes(8_000_000);
  let heard = 0;
  await serve((socket) => {
    socket.on('data', (bytes) => {
      heard += bytes.length;
    });
    socket.once('end', () => socket.end());
    socket.write(words);
  });
  const bridge = new PipedBridge({ reading: false });
  bridge.child.writeInput(Buffer.alloc(4_000_000), () => {});
  await waitUntil(() => heard === 4_000_000, 'all of the input to arrive while nobody reads the output');
  expect(bridge.bytes.length).toBeLessThan(words.length);
  bridge.readAgain();
  bridge.child.closeInput();
  expect(await bridge.ended).toEqual({ code: 0, signal: undefined });
  expect(digest(bridge.bytes)).toBe(digest(words));
});

test('a daemon that floods both ways starves neither', async () => {
  await serve((socket) => {
    const block = Buffer.alloc(65_536);
    const flood = (): void => {
      while (socket.writable && socket.write(block)) {}
    };
    socket.on('drain', flood);
    flood();
    // The flood ends when the one small request came through.
    socket.once('data', () => {
      socket.removeListener('drain', flood);
      socket.end('heard');
    });
  });
  const bridge = new PipedBridge();
  await waitUntil(() => bridge.received.length > 20, 'the flood');
  bridge.child.writeInput(Buffer.from('request'), () => {});
  expect(await bridge.ended).toEqual({ code: 0, signal: undefined });
  expect(bridge.bytes.subarray(-5).toString()).toBe('heard');
});

test('a reader that is gone ends the bridge quietly and lets the daemon know', async () => {
  const gone = Promise.withResolvers<void>();
  await serve((socket) => {
    const timer = setInterval(() => socket.write(Buffer.alloc(65_536)), 5);
    socket.once('close', () => {
      clearInterval(timer);
      gone.resolve();
    });
  });
  const bridge = new PipedBridge();
  await waitUntil(() => bridge.received.length > 0, 'the first bytes');
  bridge.child.closeOutput();
  expect(await bridge.ended).toEqual({ code: 0, signal: undefined });
  await gone.promise;
});
