/** `-metrics-addr`: the counters over HTTP (spec modes.md §14). */
import { readFileSync, unlinkSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, connect as dial } from 'node:net';
import { describe, expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { fixture } from '../../support/fixtures.ts';
import { openDescriptors, untilEnded } from '../../support/processes.ts';
import { connectRaw, type RawConnection } from '../../tools/raw-connection.ts';

/** TCP ports the daemon listens on, from the system's own tables. */
function listeningPorts(daemon: TestDaemon): number[] {
  const sockets = new Set([...openDescriptors(daemon.pid()).values()]);
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
    readFileSync(table, 'latin1')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A' && sockets.has(`socket:[${fields[9]}]`))
      .map((fields) => Number.parseInt(fields[1]?.split(':')[1] ?? '', 16)),
  );
}

/** A daemon with metrics on a port of the system's choice. */
async function measured(
  options: { profile?: 'S' | 'current' | 'next' } = {},
): Promise<{ daemon: TestDaemon; url: string }> {
  // Each scrape is to show what is so at that moment.
  const timings = { metricsKeptMs: 0 };
  const daemon = await startDaemon({ ...options, timings, flags: ['-metrics-addr', '127.0.0.1:0'] });
  return { daemon, url: `http://127.0.0.1:${listeningPorts(daemon)[0]}` };
}

async function counters(url: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const values = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(values.map((line) => [line.split(' ')[0], Number(line.split(' ')[1])]));
}

describe('the page', () => {
  test('is plain text with a help line, a type line and a value for each counter', async () => {
    const { daemon, url } = await measured();
    await using _ = daemon;
    const response = await fetch(`${url}/metrics`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await response.text();
    expect(text).toContain('# HELP claustrum_connections_total Client connections accepted.\n');
    for (const name of [
      'claustrum_connections_total',
      'claustrum_process_spawns_total',
      'claustrum_process_exits_total',
      'claustrum_reattaches_total',
      'claustrum_stream_bytes_total',
      'claustrum_stdin_bytes_total',
      'holdfast_slow_readers_dropped_total',
      'holdfast_stdin_queue_full_total',
      'holdfast_replay_evicted_frames_total',
    ]) {
      expect(text).toMatch(new RegExp(`^# HELP ${name} \\S.*\\n# TYPE ${name} counter\\n${name} \\d+$`, 'm'));
    }
  });

  test('names nothing of the host, no session and no path; its labels are words of ours', async () => {
    const { daemon, url } = await measured();
    await using _ = daemon;
    await using client = await connectRaw(daemon);
    await client.spawn('secret-session', 'true');
    await client.exitOf('secret-session');
    const text = await (await fetch(`${url}/metrics`)).text();
    expect(text).not.toContain('secret-session');
    expect(text).not.toMatch(/^claustrum_\w+\{/m);
    const labels = new Set(Array.from(text.matchAll(/[{,](\w+)="/g), ([, name]) => name));
    expect([...labels].sort()).toEqual(['le', 'method', 'profile', 'state', 'version']);
    expect(text).not.toContain(daemon.dir);
    expect(text).not.toContain(daemon.token);
  });

  test.each(['/', '/metric', '/metrics/', '/metricsx', '/favicon.ico'])('%s is not there', async (path) => {
    const { daemon, url } = await measured();
    await using _ = daemon;
    const response = await fetch(url + path);
    expect([response.status, await response.text()]).toEqual([404, '']);
  });
});

describe('the counters', () => {
  test('count what clients and processes do, bytes decoded and once for each frame', async () => {
    const { daemon, url } = await measured({ profile: 'current' });
    await using _ = daemon;
    const before = await counters(url);
    // The launcher's own look was a client too.
    expect(before.claustrum_connections_total).toBe(1);
    await using client = await connectRaw(daemon);
    await client.spawn('cat', 'cat');
    await client.request('process.spawn', { id: 'bad', command: '/nonexistent' });
    await client.stdin('cat', 'hello\n');
    await client.stdin('cat', 'hello\n', 0);
    await client.stdin('cat', 'gap\n', 99);
    await client.untilOutput('cat', 'hello');
    await client.spawn('err', 'sh', ['-c', 'printf 12345 >&2']);
    await client.exitOf('err');
    await client.reattach('cat', 0);
    await client.reattach('none', 0);
    expect(await counters(url)).toMatchObject({
      claustrum_connections_total: 2,
      claustrum_process_spawns_total: 2,
      claustrum_process_exits_total: 1,
      claustrum_reattaches_total: 1,
      claustrum_stream_bytes_total: 11,
      claustrum_stdin_bytes_total: 6,
    });
  });

  test('have one for each cap that was met', async () => {
    const { daemon, url } = await measured({ profile: 'current' });
    await using _ = daemon;
    await using client = await connectRaw(daemon);
    await overflowStdin(client);
    client.pauseReading();
    client.post('process.spawn', {
      id: 'noise',
      command: fixture('write-noise.ts')[0],
      args: [...fixture('write-noise.ts', '--bytes', '30000000')[1]],
    });
    await daemon.untilLogged(/slow reader dropped/);
    const values = await counters(url);
    expect(values.holdfast_slow_readers_dropped_total).toBe(1);
    expect(values.holdfast_stdin_queue_full_total).toBe(1);
    expect(values.holdfast_replay_evicted_frames_total).toBeGreaterThan(0);
    expect(daemon.log()).toMatch(
      /WARN {2}\[process\.Manager\] Process noise: replay window full \(16777216 bytes\); dropping oldest frames\n/,
    );
    expect(daemon.log().match(/replay window full/g)).toHaveLength(1);
  });
});

/** Writes to a process that does not read until the queue is full. */
async function overflowStdin(client: RawConnection): Promise<void> {
  await client.spawn('deaf', 'sleep', ['3600']);
  const data = Buffer.alloc(750_000, 'x');
  const replies = await Promise.all(Array.from({ length: 30 }, () => client.stdin('deaf', data)));
  expect(replies.filter(({ error }) => error?.code === -32002).length).toBeGreaterThan(0);
}

describe('the listener', () => {
  test('does not exist unless it is asked for', async () => {
    await using daemon = await startDaemon();
    expect(listeningPorts(daemon)).toEqual([]);
  });

  test('takes a port that is given, and is there when the launcher says that the daemon is ready', async () => {
    const port = await freePort();
    await using daemon = await startDaemon({ flags: ['-metrics-addr', `127.0.0.1:${port}`] });
    expect(listeningPorts(daemon)).toEqual([port]);
    expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(200);
  });

  test.each(['nonsense', '127.0.0.1', '127.0.0.1:70000'])(
    'that cannot be had at %s is told in the log, and the daemon serves',
    async (address) => {
      await using daemon = await startDaemon({ flags: ['-metrics-addr', address] });
      await using client = await connectRaw(daemon);
      expect(await client.call('server.ping')).toEqual({ pong: true });
      expect(daemon.log()).toMatch(/ ERROR \[Server\] metrics: \S/);
    },
  );

  test('that finds its port taken says so, and the daemon serves', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as AddressInfo;
    await using daemon = await startDaemon({ flags: ['-metrics-addr', `127.0.0.1:${port}`] });
    await using client = await connectRaw(daemon);
    expect(await client.call('server.ping')).toEqual({ pong: true });
    expect(daemon.log()).toMatch(new RegExp(`\\[Server\\] metrics: .*EADDRINUSE.*${port}`));
    other.close();
  });

  test('is closed at the end, whoever is still connected to it', async () => {
    const { daemon, url } = await measured();
    await using _ = daemon;
    const target = daemon.process();
    const idle = dial(Number(new URL(url).port), '127.0.0.1');
    await new Promise((resolve) => idle.once('connect', resolve));
    idle.on('error', () => {});
    await daemon.stop();
    await untilEnded(target);
    await expect(fetch(`${url}/metrics`)).rejects.toThrow();
    idle.destroy();
  });

  test('keeps no daemon alive that has nothing left to do', async () => {
    const { daemon } = await measured();
    await using _ = daemon;
    const target = daemon.process();
    unlinkSync(daemon.socket);
    await untilEnded(target);
  });
});

async function freePort(): Promise<number> {
  const server = createHttpServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
