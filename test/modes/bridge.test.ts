import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex, Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { relay } from '../../src/modes/bridge.ts';
import { cleanEnvironment, program, runHoldfast } from '../support/holdfast.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { waitUntil } from '../support/wait.ts';

let directory: string;
let socketPath: string;
let server: Server | undefined;
const connections = new Set<Socket>();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf'));
  socketPath = join(directory, 's');
});

afterEach(async () => {
  for (const connection of connections) {
    connection.destroy();
  }
  connections.clear();
  server?.close();
  server = undefined;
  await removeFolder(directory);
});

/** A daemon stand-in: what it does with a connection is the test's. */
async function serve(onConnection: (socket: Socket) => void): Promise<void> {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.add(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(socketPath);
  await once(server, 'listening');
}

function bridge() {
  return spawn(program, ['-bridge', '-socket', socketPath], { env: cleanEnvironment(directory) });
}

/** Runs a shell command in which `$1 -bridge -socket $2` is the bridge; `words` are `$3` and on. */
function shell(command: string, ...words: string[]) {
  return spawn('sh', ['-c', command, 'sh', program, socketPath, ...words], { env: cleanEnvironment(directory) });
}

function bridgeOutcome(input = '') {
  return runHoldfast(['-bridge', '-socket', socketPath], { env: cleanEnvironment(directory), input });
}

async function everything(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('bytes', () => {
  test('travel both ways unchanged, whatever they are', async () => {
    await serve((socket) => socket.pipe(socket));
    const sent = randomBytes(3_000_001);
    const child = bridge();
    const received: Buffer[] = [];
    child.stdout.on('data', (bytes) => received.push(bytes));
    child.stdin.end(sent);
    const [code] = await once(child, 'close');
    expect(digest(Buffer.concat(received))).toBe(digest(sent));
    expect(code).toBe(0);
  });

  test('come from a file and go to a file when standard input and output are files', async () => {
    await serve((socket) => socket.pipe(socket));
    const sent = randomBytes(700_001);
    const [from, to] = [join(directory, 'in'), join(directory, 'out')];
    writeFileSync(from, sent);
    const child = shell('"$1" -bridge -socket "$2" < "$3" > "$4"', from, to);
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(digest(readFileSync(to))).toBe(digest(sent));
  });

  test('pass through the pipes of a shell to the last one', async () => {
    await serve((socket) => socket.pipe(socket));
    const sent = randomBytes(1_500_001);
    const from = join(directory, 'in');
    writeFileSync(from, sent);
    const child = shell('cat "$3" | "$1" -bridge -socket "$2" | { sleep 0.2; cat; }', from);
    const received: Buffer[] = [];
    child.stdout.on('data', (bytes) => received.push(bytes));
    await once(child, 'close');
    expect(digest(Buffer.concat(received))).toBe(digest(sent));
  });

  test('nothing is added to what the client sends, and nothing is said when all goes well', async () => {
    let heard: Promise<Buffer> | undefined;
    await serve((socket) => {
      heard = everything(socket).finally(() => socket.end());
    });
    const input = '{"jsonrpc":"2.0","id":1,"method":"server.ping"}\n';
    expect(await bridgeOutcome(input)).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
    expect((await heard)?.toString()).toBe('{"jsonrpc":"2.0","id":1,"method":"server.ping"}\n');
  });
});

describe('the end', () => {
  test('of input is passed on, and what the daemon answers to it still arrives', async () => {
    const answer = randomBytes(2_000_000);
    await serve((socket) => {
      socket.resume();
      socket.once('end', () => socket.end(answer));
    });
    const child = bridge();
    const received: Buffer[] = [];
    child.stdout.on('data', (bytes) => received.push(bytes));
    child.stdin.end('question');
    await once(child, 'close');
    expect(digest(Buffer.concat(received))).toBe(digest(answer));
  });

  test('of the daemon ends the bridge with input still open, after a late reader got every byte', async () => {
    const words = randomBytes(400_000);
    await serve((socket) => socket.end(words));
    const child = bridge();
    await once(server as Server, 'connection');
    const [connection] = connections;
    // All of it has left the daemon; it lies in pipes and in the bridge.
    await once(connection as Socket, 'finish');
    const received: Buffer[] = [];
    child.stdout.on('data', (bytes) => received.push(bytes));
    const [code] = await once(child, 'close');
    expect(code).toBe(0);
    expect(digest(Buffer.concat(received))).toBe(digest(words));
  });

  test('of a daemon that closes while the client is still writing loses none of its last words', async () => {
    // More than the pipe and the bridge hold, so that some of it still waits in the socket when the daemon is gone.
    const words = randomBytes(260_000);
    const closed = Promise.withResolvers<void>();
    await serve((socket) => {
      // Closing with unread input resets the connection: the hardest way to go.
      socket.pause();
      socket.write(words, () => socket.destroy());
      socket.once('close', () => closed.resolve());
    });
    const go = join(directory, 'go');
    execFileSync('mkfifo', [go]);
    const child = shell('{ "$1" -bridge -socket "$2"; echo $? > "$3.code"; } | { read word < "$3"; cat; }', go);
    child.stdin.on('error', () => {});
    const block = Buffer.alloc(65_536);
    const flood = () => {
      while (child.stdin.writable && child.stdin.write(block)) {}
    };
    child.stdin.on('drain', flood);
    flood();
    const received: Buffer[] = [];
    child.stdout.on('data', (bytes) => received.push(bytes));
    await closed.promise;
    writeFileSync(go, 'go\n');
    await once(child.stdout, 'end');
    expect(Buffer.concat(received).length).toBe(words.length);
    expect(digest(Buffer.concat(received))).toBe(digest(words));
    expect(readFileSync(`${go}.code`, 'utf8')).toBe('0\n');
  });

  test('of the connection does not overtake bytes that wait for a slow reader', async () => {
    const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }) as unknown as Socket;
    const received: string[] = [];
    const takeNext: (() => void)[] = [];
    const output = new Writable({
      highWaterMark: 1,
      write: (chunk, _encoding, done) => {
        received.push(chunk.toString());
        takeNext.push(done);
      },
    });
    const relayed = relay(new Readable({ read() {} }), output, socket, { halfClose: true, trickle: undefined });
    for (const word of ['one ', 'two ', 'three']) {
      socket.push(word);
    }
    await waitUntil(() => received.length === 1, 'the first word');
    socket.destroy(new Error('read ECONNRESET'));
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const timer = setInterval(() => takeNext.shift()?.(), 1);
    await relayed;
    clearInterval(timer);
    expect(received.join('')).toBe('one two three');
  });

  test('of the reader ends the bridge quietly and lets the daemon know', async () => {
    const gone = Promise.withResolvers<void>();
    await serve((socket) => {
      const timer = setInterval(() => socket.write(Buffer.alloc(65_536)), 5);
      socket.once('close', () => {
        clearInterval(timer);
        gone.resolve();
      });
    });
    const child = bridge();
    await once(child.stdout, 'data');
    child.stdout.destroy();
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    await gone.promise;
    expect(child.stderr.read()).toBe(null);
  });
});

describe('pressure', () => {
  test('a reader that stalls holds up neither the other direction nor the memory of the host', async () => {
    const block = Buffer.alloc(1_048_576, 'x');
    const blocks = 300;
    const heard = Promise.withResolvers<void>();
    let upstream = 0;
    await serve((socket) => {
      for (let sent = 0; sent < blocks; sent++) {
        socket.write(block);
      }
      socket.on('data', (bytes) => {
        upstream += bytes.length;
        if (upstream === 8 * block.length) {
          heard.resolve();
        }
      });
    });
    const child = bridge();
    for (let sent = 0; sent < 8; sent++) {
      child.stdin.write(block);
    }
    // Nobody reads standard output yet, and still all of this gets through.
    await heard.promise;
    let received = 0;
    for await (const bytes of child.stdout) {
      received += bytes.length;
      if (received === blocks * block.length) {
        break;
      }
    }
    if (process.platform === 'linux') {
      const peakKiB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]);
      expect(peakKiB).toBeGreaterThan(0);
      expect(peakKiB).toBeLessThan(200 * 1024);
    }
    child.kill();
    expect(received).toBe(blocks * block.length);
  });
});

describe('a daemon that cannot be reached', () => {
  test('is named with its path and the reason, exit code 1', async () => {
    expect(await bridgeOutcome()).toEqual({
      code: 1,
      signal: null,
      stdout: '',
      stderr: `claustrum: dial server: dial unix ${socketPath}: connect: no such file or directory\n`,
    });
  });

  test('because it died is told from one that never was', async () => {
    // A listener that is killed leaves its socket file behind.
    const script = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
    await once(spawn(process.execPath, ['-e', script, socketPath]), 'close');
    expect(statSync(socketPath).isSocket()).toBe(true);
    await expect(once(connect(socketPath), 'connect')).rejects.toThrow('ECONNREFUSED');
    expect(await bridgeOutcome()).toEqual({
      code: 1,
      signal: null,
      stdout: '',
      stderr: `claustrum: dial server: dial unix ${socketPath}: connect: connection refused\n`,
    });
  });
});
