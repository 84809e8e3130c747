/** Whoever has not shown the token cannot fill the memory of the daemon. */
import { connect as dial, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createPlatform } from '../../../platform/posix/index.ts';
import { startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { waitUntil } from '../../support/wait.ts';
import { connectRaw } from '../../tools/raw-connection.ts';

const hogBytes = 1_000_000;
const { unreadBytes } = createPlatform().transport;

/** A first request with the token, of at least so many bytes. */
function request({ token, dir }: TestDaemon, bytes: number): string {
  const params = { path: dir, pad: 'x'.repeat(bytes) };
  return `${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'files.stat', params, auth: token })}\n`;
}

/** As many hogs as fit into 16 MiB. */
const fitting = 16;

interface Newcomer {
  readonly socket: Socket;
  readonly closed: () => boolean;
  readonly text: () => string;
}

function open(daemon: TestDaemon): Newcomer {
  const socket = dial(daemon.socket);
  let closed = false;
  let text = '';
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    text += String(chunk);
  });
  socket.on('close', () => {
    closed = true;
  });
  onTestFinished(() => void socket.destroy());
  return { socket, closed: () => closed, text: () => text };
}

/** Begins long lines one after the other and never ends them, until no more of them fit. @returns those that did */
async function fill(daemon: TestDaemon): Promise<Newcomer[]> {
  const hogs: Newcomer[] = [];
  for (;;) {
    const hog = open(daemon);
    hog.socket.write(Buffer.alloc(hogBytes, 'x'));
    const { socket, closed } = hog;
    const isRead = () => socket.bytesWritten === hogBytes && socket.writableLength === 0 && unreadBytes?.(socket) === 0;
    await waitUntil(() => closed() || isRead() || undefined, 'a long line to be read or refused');
    if (closed()) {
      return hogs;
    }
    hogs.push(hog);
  }
}

describe.each(['S', 'current', 'next'] as const)('profile %s', (profile) => {
  test('lines that never end are held up to 16 MiB in all, and whoever keeps to 64 KiB or shows the token is served', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    await client.call('server.ping');
    expect(await fill(daemon)).toHaveLength(fitting);
    expect(daemon.log()).toMatch(
      /WARN {2}\[Server\] connections that have not shown the token hold 16777216 bytes, and this one more than 65536; closing connection: @; show the token in a shorter request first$/m,
    );
    const late = open(daemon);
    late.socket.write(request(daemon, hogBytes));
    await waitUntil(() => late.closed() || undefined, 'a long first request to be refused');
    expect(late.text()).toBe('');

    // A client that has shown the token is no newcomer, whatever it sends.
    const pad = (bytes: number) => ({ path: daemon.dir, pad: 'x'.repeat(bytes) });
    expect(await client.call('files.stat', pad(1_000_000))).toMatchObject({ isDir: true });
    // A newcomer has 64 KiB, and with the first request it is none any more.
    await using newcomer = await connectRaw(daemon);
    expect(await newcomer.call('files.stat', pad(60_000))).toMatchObject({ isDir: true });
    expect(await newcomer.call('files.stat', pad(1_000_000))).toMatchObject({ isDir: true });
  });

  test('when they are gone, the first request of a client may be a whole long line again', async () => {
    await using daemon = await startDaemon({ profile });
    const hogs = await fill(daemon);
    for (const { socket } of hogs) {
      socket.destroy();
    }
    await waitUntil(
      () => daemon.log().match(/Connection closed/g)?.length === daemon.log().match(/New connection/g)?.length,
      'the daemon to see them go',
    );
    const newcomer = open(daemon);
    newcomer.socket.write(request(daemon, hogBytes));
    await waitUntil(() => newcomer.text().endsWith('\n') || undefined, 'the answer');
    expect(newcomer.text()).toContain('"isDir":true');
    expect(daemon.log().match(/have not shown the token/g)?.length).toBeGreaterThan(0);
  });
});

test('replies to wrong tokens that nobody reads count as well', async () => {
  await using daemon = await startDaemon();
  // The id comes back in the reply.
  const line = `{"jsonrpc":"2.0","id":"${'x'.repeat(hogBytes)}","method":"server.ping","auth":"wrong"}\n`;
  const hogs = Array.from({ length: 60 }, () => open(daemon));
  for (const { socket } of hogs) {
    socket.pause();
    socket.write(line.repeat(3));
  }
  await daemon.untilLogged(/connections that have not shown the token hold 16777216 bytes/);
  await using client = await connectRaw(daemon);
  expect(await client.call('server.ping')).toEqual({ pong: true });
});

test('a long line that is refused for its token is answered like any other while there is room', async () => {
  await using daemon = await startDaemon();
  const { socket, text } = open(daemon);
  socket.write(`{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"${'x'.repeat(hogBytes)}"}\n`);
  await waitUntil(() => text().endsWith('\n'), 'the answer');
  expect(text()).toBe(
    '{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"Unauthorized: invalid or missing auth token"}}\n',
  );
});
