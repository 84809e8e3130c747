/** Whoever can reach the metrics can cost the daemon no more than a page a second (threat 11 of docs/security.md). */
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { ScrapeConnection } from '../../../src/doors/metrics/scrape-connection.ts';
import { type DaemonOptions, startDaemon } from '../../support/daemon.ts';
import { connectTo } from '../../support/host.ts';
import { waitUntil } from '../../support/wait.ts';

const scrape = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n';

async function withMetrics(options: DaemonOptions = {}) {
  const daemon = await startDaemon({ ...options, flags: ['-metrics-addr', '127.0.0.1:0'] });
  const line = await daemon.untilLogged(/metrics: listening on /);
  const port = Number(/:(\d+)$/.exec(line)?.[1]);
  return { daemon, port, page: async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text() };
}

/** A connection that keeps what it receives. */
function open(port: number): { readonly socket: Socket; text(): string; answers(): number } {
  const socket = dial(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk) => {
    text += chunk;
  });
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  return { socket, text: () => text, answers: () => text.split('HTTP/1.1 ').length - 1 };
}

/** Also where it ends by a reset. */
const closed = (socket: Socket) => new Promise((resolve) => socket.once('close', resolve));

test('a neighbour who sends thousands of requests without waiting is cut, and clients and scrapers are served', async () => {
  const { daemon, port, page } = await withMetrics();
  await using _ = daemon;
  await using client = await connectTo(daemon);
  const neighbours = Array.from({ length: 16 }, () => open(port));
  const ended = neighbours.map(({ socket }) => closed(socket));
  for (const { socket } of neighbours) {
    socket.write(scrape.repeat(50_000));
  }
  expect(await client.server.ping()).toEqual({ pong: true });
  await Promise.all(ended);
  expect(neighbours.map(({ answers }) => answers()).filter((count) => count > 2)).toEqual([]);
  await daemon.untilLogged(/WARN .*metrics: a connection was cut: it sends requests without waiting for the answers;/);
  expect(daemon.log().match(/a connection was cut/g)).toHaveLength(1);
  await waitUntil(
    async () => /^holdfast_metrics_connections_cut_total 16$/m.test(await page()) || undefined,
    'every cut connection to be counted',
  );
});

test('everybody who asks within a second is shown one page, and a later one shows what has happened', async () => {
  const { daemon, page } = await withMetrics();
  await using _ = daemon;
  const first = await page();
  await using client = await connectTo(daemon);
  await client.spawn({ command: 'true' });
  expect([await page(), await page()]).toEqual([first, first]);
  await waitUntil(
    async () => /^claustrum_process_spawns_total 1$/m.test(await page()) || undefined,
    'a page with the process',
  );
});

test('a scraper keeps its connection, and a second request of it waits for the first answer', async () => {
  const { daemon, port } = await withMetrics();
  await using _ = daemon;
  const { socket, text, answers } = open(port);
  for (let asked = 2; asked <= 6; asked += 2) {
    socket.write(scrape + scrape);
    await waitUntil(() => answers() === asked && text().endsWith('\n'), `${asked} answers`);
  }
  expect(text()).not.toContain('Connection: close');
  socket.write(scrape.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
  await closed(socket);
  expect(answers()).toBe(7);
  expect(daemon.log()).not.toContain('was cut');
});

test('a scraper gets in although a neighbour keeps all connections open', async () => {
  const { daemon, port, page } = await withMetrics();
  await using _ = daemon;
  const idle = Array.from({ length: 16 }, () => open(port));
  await Promise.all(idle.map(({ socket }) => once(socket, 'connect')));
  const cut = closed(idle[0]?.socket as Socket);
  expect(await page()).toContain('claustrum_connections_total');
  await cut;
  await daemon.untilLogged(/metrics: a connection was cut: more than 16 are open, and it waited longest/);
});

test('a request that never ends, and one that is too long, hold nothing for long', async () => {
  const { daemon, port } = await withMetrics({ timings: { metricsRequestMs: 200 } });
  await using _ = daemon;
  const slow = open(port).socket;
  slow.write('GET /metrics HTTP/1.1\r\n');
  await closed(slow);
  const long = open(port);
  long.socket.write(`GET /metrics HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`);
  await closed(long.socket);
  expect(long.answers()).toBe(0);
  await daemon.untilLogged(/metrics: a connection was cut: its request has more than 8192 bytes/);
});

test('a reader that does not take its answer is cut', async () => {
  const cut = Promise.withResolvers<string>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    new ScrapeConnection(socket, {
      // More than the buffers of both ends of a connection.
      answer: async () => ({ status: 200, type: 'text/plain', text: 'x'.repeat(64 << 20) }),
      requestMs: 300,
      idleMs: 60_000,
      onCut: cut.resolve,
      onClose() {},
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const reader = dial((server.address() as AddressInfo).port, '127.0.0.1').pause();
  reader.on('error', () => {});
  onTestFinished(() => void reader.destroy());
  reader.write(scrape);
  expect(await cut.promise).toBe('it does not take its answer');
});

test('a request with a body, a broken one and one of HTTP/1.0 are answered once, and the connection ends', async () => {
  const { daemon, port } = await withMetrics();
  await using _ = daemon;
  const cases = {
    'POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\nGET /metrics HTTP/1.1\r\n\r\nabcd': 404,
    'GET /metrics\r\n\r\n': 400,
    '\r\nGET /metrics HTTP/1.0\r\n\r\n': 200,
  };
  for (const [request, status] of Object.entries(cases)) {
    const { socket, text, answers } = open(port);
    socket.write(request);
    await closed(socket);
    expect([answers(), text().slice(0, 12)]).toEqual([1, `HTTP/1.1 ${status}`]);
    expect(text()).toContain('\r\nConnection: close\r\n');
  }
});
