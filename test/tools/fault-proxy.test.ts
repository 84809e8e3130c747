import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { waitUntil } from '../support/wait.ts';
import { type FaultProxy, type ProxyOptions, parseRules, startFaultProxy } from './fault-proxy.ts';

/** One end of a connection and what it has seen. */
class Peer {
  readonly socket: Socket;
  received = '';
  /** One entry for each time bytes arrived. */
  readonly pieces: number[] = [];
  ended = false;
  closed = false;
  error: string | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.received += bytes.toString('latin1');
      this.pieces.push(bytes.length);
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code;
    });
  }

  untilReceived(text: string): Promise<true> {
    return waitUntil(
      () => this.received === text || undefined,
      `${JSON.stringify(text)}, has ${JSON.stringify(this.received)}`,
    );
  }

  untilClosed(): Promise<true> {
    return waitUntil(() => this.closed || undefined, 'the close');
  }
}

describe.each(['unix', 'tcp'] as const)('over %s', (transport) => {
  let directory: string;
  let cleanup: AsyncDisposableStack;

  beforeEach(() => {
    directory = mkdtempSync('/tmp/hf-');
    cleanup = new AsyncDisposableStack();
    cleanup.defer(() => rmSync(directory, { recursive: true }));
  });
  afterEach(() => cleanup.disposeAsync());

  /** A target, a proxy in front of it and one connection through both. */
  async function link(rules: Pick<ProxyOptions, 'toTarget' | 'toClient'>) {
    const accepted: Peer[] = [];
    const target = createServer({ allowHalfOpen: true }, (socket) => accepted.push(new Peer(socket)));
    cleanup.defer(() => {
      for (const { socket } of accepted) {
        socket.destroy();
      }
      target.close();
    });
    await new Promise<void>((resolve) =>
      target.listen(transport === 'unix' ? join(directory, 't') : { port: 0, host: '127.0.0.1' }, resolve),
    );
    const at = target.address();
    const proxy = cleanup.use(
      await startFaultProxy({
        listen: transport === 'unix' ? join(directory, 'p') : '127.0.0.1:0',
        target: at === null || typeof at === 'string' ? join(directory, 't') : `127.0.0.1:${at.port}`,
        ...rules,
      }),
    );
    return { proxy, accepted, ...(await dial(proxy, accepted)) };
  }

  async function dial(proxy: FaultProxy, accepted: Peer[]): Promise<{ client: Peer; server: Peer }> {
    const [host, port] = proxy.address.split(':');
    const where: NetConnectOpts =
      port === undefined ? { path: proxy.address } : { host: host as string, port: Number(port) };
    const before = accepted.length;
    const client = new Peer(connect({ ...where, allowHalfOpen: true }));
    cleanup.defer(() => {
      client.socket.destroy();
    });
    const server = await waitUntil(() => accepted[before], 'the connection to the target');
    return { client, server };
  }

  test('without rules both directions and both ends pass unchanged', async () => {
    const { client, server, proxy } = await link({});
    client.socket.write('question');
    await server.untilReceived('question');
    server.socket.write('answer');
    await client.untilReceived('answer');
    expect(proxy.passed).toEqual({ toTarget: 8, toClient: 6 });
    client.socket.end();
    await waitUntil(() => server.ended || undefined, 'the half-close');
    server.socket.end(' and more');
    await client.untilReceived('answer and more');
    await client.untilClosed();
    await waitUntil(() => proxy.connections === 0 || undefined, 'the proxy to let go');
  });

  test('a megabyte passes whole', async () => {
    const { client, server } = await link({ toTarget: 'chunk 1000' });
    const text = 'x'.repeat(1_000_000);
    client.socket.end(text);
    await waitUntil(() => server.ended || undefined, 'the end');
    expect(server.received).toBe(text);
  });

  test('chunk: a line arrives in single bytes', async () => {
    const { client, server } = await link({ toTarget: 'chunk 1; delay 1' });
    client.socket.write('hello');
    await server.untilReceived('hello');
    expect(server.pieces).toEqual([1, 1, 1, 1, 1]);
  });

  test('delay: nothing arrives before its time, and in order', async () => {
    const { client, server } = await link({ toTarget: 'chunk 3; delay 20' });
    const start = performance.now();
    client.socket.write('abcdef');
    await server.untilReceived('abcdef');
    // Two writes; a timer may fire up to a millisecond early.
    expect(performance.now() - start).toBeGreaterThanOrEqual(38);
  });

  test('stall: exactly so many bytes pass, the sender feels it, and the rest follows after the release', async () => {
    const { client, server, proxy } = await link({ toTarget: 'stall 3' });
    const text = 'x'.repeat(8_000_000);
    client.socket.write(`abc${text}`);
    await server.untilReceived('abc');
    await waitUntil(() => client.socket.writableNeedDrain || undefined, 'back-pressure');
    server.socket.write('the other way is free');
    await client.untilReceived('the other way is free');
    expect(server.received).toBe('abc');
    expect(client.socket.writableLength).toBeGreaterThan(0);
    proxy.release();
    client.socket.end();
    await waitUntil(() => server.ended || undefined, 'the end');
    expect(server.received).toBe(`abc${text}`);
  });

  test('cut: both sides are closed after exactly so many bytes', async () => {
    const { client, server } = await link({ toClient: 'cut 4' });
    server.socket.write('12345678');
    await client.untilReceived('1234');
    await waitUntil(() => client.ended && server.ended, 'both ends');
    expect(client.received).toBe('1234');
  });

  test('cut 0: the connection is closed before any byte', async () => {
    const { client, server } = await link({ toTarget: 'cut 0' });
    await waitUntil(() => client.ended && server.ended, 'both ends');
    expect(server.received).toBe('');
  });

  test('rst: both sides see the connection break', async () => {
    const { client, server } = await link({ toTarget: 'rst 4' });
    client.socket.write('12345678');
    await server.untilReceived('1234').catch((error: unknown) => {
      // A reset may overtake the bytes before it.
      if (server.error === undefined) {
        throw error;
      }
    });
    await waitUntil(() => (client.ended || client.closed) && (server.ended || server.closed), 'both to break');
    if (transport === 'tcp') {
      expect([client.error, server.error]).toEqual(['ECONNRESET', 'ECONNRESET']);
    }
  });

  test('half-open: the peer is gone without a word, and nothing is ever closed', async () => {
    const { client, server, proxy, accepted } = await link({ toTarget: 'half-open 2' });
    client.socket.write('12345678');
    await server.untilReceived('12');
    server.socket.write('nobody hears this');
    client.socket.end();
    // A second connection, served after all of the above, shows that the proxy had its chance to pass something on.
    proxy.setRules({});
    const other = await dial(proxy, accepted);
    other.client.socket.write('ping');
    await other.server.untilReceived('ping');
    expect([client.received, client.ended, server.received, server.ended]).toEqual(['', false, '12', false]);
    expect(proxy.connections).toBe(2);
  });

  test('strike: what is open can be cut, reset or silenced at any moment', async () => {
    const { client, server, proxy, accepted } = await link({});
    proxy.strike('cut');
    await waitUntil(() => client.ended && server.ended, 'both ends');
    const second = await dial(proxy, accepted);
    proxy.strike('half-open');
    second.client.socket.write('lost');
    proxy.strike('rst');
    await waitUntil(() => second.client.ended || second.client.closed || undefined, 'the reset');
    expect(second.server.received).toBe('');
  });

  test('a target that is not there closes the client', async () => {
    const proxy = cleanup.use(
      await startFaultProxy({
        listen: transport === 'unix' ? join(directory, 'q') : '127.0.0.1:0',
        target: join(directory, 'none'),
      }),
    );
    const [host, port] = proxy.address.split(':');
    const client = new Peer(
      connect(port === undefined ? { path: proxy.address } : { host: host as string, port: Number(port) }),
    );
    await client.untilClosed();
  });
});

test.each(['slow 3', 'delay', 'cut -1', 'chunk 0', 'cut 1; rst 2', 'delay 1 cut 2'])(
  'the rule "%s" is refused by name',
  (rules) => {
    expect(() => parseRules(rules)).toThrow(/^fault proxy: /);
  },
);

test('from the command line it relays until it is ended', async () => {
  const directory = mkdtempSync('/tmp/hf-');
  const target = createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => target.listen(join(directory, 't'), resolve));
  const tool = join(import.meta.dirname, 'fault-proxy.ts');
  const proxy = spawn(
    process.execPath,
    [tool, '--listen', join(directory, 'p'), '--target', join(directory, 't'), '--to-client', 'cut 5'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  try {
    await new Promise<void>((resolve) => proxy.stdout.once('data', () => resolve()));
    const client = new Peer(connect(join(directory, 'p')));
    client.socket.write('hello world');
    await client.untilClosed();
    expect(client.received).toBe('hello');
  } finally {
    proxy.kill();
    target.close();
    rmSync(directory, { recursive: true });
  }
});
