import type { AddressInfo } from 'node:net';
import { createServer, connect as dial, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { requestOnce } from '../../src/client/request.ts';
import { startDaemon } from '../support/daemon.ts';

/** A connection to somebody who answers the first line as `answer` says, and the line it was sent. */
async function stranger(answer: (socket: Socket) => void) {
  const lines: string[] = [];
  const server = createServer((socket) => {
    socket
      .on('error', () => {})
      .on('data', (bytes) => {
        lines.push(String(bytes));
        answer(socket);
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = dial((server.address() as AddressInfo).port, '127.0.0.1');
  return {
    socket,
    lines,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      server.close();
    },
  };
}

test('a daemon answers a request with and without a token', async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  const socket = dial(daemon.socket);
  try {
    const bound = { timeoutMs: 5_000 };
    expect(await requestOnce(socket, { method: 'server.ping', auth: daemon.token }, bound)).toEqual({
      jsonrpc: '2.0',
      id: 1,
      result: { pong: true },
    });
    const refused = await requestOnce(socket, { method: 'server.ping' }, bound);
    expect(refused?.error?.message).toBe('Unauthorized: invalid or missing auth token');
  } finally {
    socket.destroy();
  }
});

test('exactly one line is sent, with nothing in it that was not asked for', async () => {
  await using end = await stranger((socket) => socket.end('{"id":1,"result":{}}\n'));
  await requestOnce(end.socket, { method: 'server.shutdown' }, { timeoutMs: 5_000 });
  expect(end.lines).toEqual(['{"jsonrpc":"2.0","id":1,"method":"server.shutdown"}\n']);
});

test('a reply may come in pieces and after frames that are not for us', async () => {
  await using end = await stranger(async (socket) => {
    for (const piece of [
      '{"jsonrpc":"2.0","method":"x"}\n{"id":2}\n{"id":',
      '1,"result":{"text":"é"}',
      '}',
      '\n{"id":1}\n',
    ]) {
      socket.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  const reply = await requestOnce(end.socket, { method: 'm' }, { timeoutMs: 5_000 });
  expect(reply).toEqual({ id: 1, result: { text: 'é' } });
});

test.each<[what: string, answer: (socket: Socket) => void]>([
  ['says something else', (socket) => socket.write('SSH-2.0-x')],
  ['sends a line that is no JSON', (socket) => socket.write('{"id":1\n')],
  ['sends a line that is no frame', (socket) => socket.write('null\n')],
  ['sends a line without end', (socket) => socket.write(`{${'x'.repeat(2_000_000)}`)],
  ['closes without a word', (socket) => socket.end()],
  ['cuts the connection', (socket) => socket.destroy()],
])('there is no reply from somebody who %s', async (_, answer) => {
  await using end = await stranger(answer);
  expect(await requestOnce(end.socket, { method: 'm' }, { timeoutMs: 20_000 })).toBe(undefined);
});

test('somebody who never answers is waited for as long as was said', async () => {
  await using end = await stranger(() => {});
  const before = performance.now();
  expect(await requestOnce(end.socket, { method: 'm' }, { timeoutMs: 200 })).toBe(undefined);
  expect(performance.now() - before).toBeGreaterThanOrEqual(195);
});
