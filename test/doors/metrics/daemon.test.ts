/** What an operator sees of a daemon with `-metrics-addr` (spec modes.md §14, threat 11 of docs/security.md). */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type DaemonOptions, prepareDaemon, startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { openDescriptors } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { connectRaw } from '../../tools/raw-connection.ts';

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

type Place = { readonly port: number; readonly host?: string } | { readonly socketPath: string };

function get(place: Place, headers: Record<string, string> = {}, path = '/metrics', method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', ...place, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
    })
      .on('error', reject)
      .end();
  });
}

async function withMetrics(options: DaemonOptions = {}, address = '127.0.0.1:0') {
  // Each scrape is to show what is so at that moment.
  const timings = { metricsKeptMs: 0, ...options.timings };
  const flags = ['-metrics-addr', address, ...(options.flags ?? [])];
  const daemon = await startDaemon({ ...options, timings, flags });
  const line = await daemon.untilLogged(/metrics: listening on /);
  return { daemon, port: Number(/:(\d+)$/.exec(line)?.[1]) };
}

/** Value of the sample with exactly this name and these labels. */
function sample(text: string, name: string): number {
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  if (line === undefined) {
    throw new Error(`no sample ${name} in\n${text}`);
  }
  return Number(line.slice(name.length + 1));
}

const socketOf = (daemon: TestDaemon): Place => ({ socketPath: join(daemon.dir, 'metrics.sock') });

test('sessions are counted by state; what they keep is summed, what each uses is shown by its pid', async () => {
  const { daemon, port } = await withMetrics();
  await using _ = daemon;
  await using client = await connectRaw(daemon);
  const burn = 'while (process.cpuUsage().user < 150e3); console.log("burnt"); setInterval(() => {}, 1000)';
  const busy = await client.spawn('busy', process.execPath, ['-e', burn], { wantPid: true });
  await client.untilOutput('busy', 'burnt');
  await client.spawn('over', 'sh', ['-c', 'echo done']);
  await client.exitOf('over');
  // Its output is held open for five seconds only, so nothing slow comes after it.
  await client.spawn('held', 'sh', ['-c', 'sleep 1000 & echo held']);
  await client.untilOutput('held', 'held');
  const text = await waitUntil(async () => {
    const seen = (await get({ port })).text;
    return seen.includes('holdfast_sessions{state="draining"} 1') ? seen : undefined;
  }, 'the session whose output is held open');
  expect(sample(text, 'holdfast_sessions{state="running"}')).toBe(1);
  expect(sample(text, 'holdfast_sessions{state="exited"}')).toBe(1);
  const frames = client.lines.filter((line) => line.includes('"type":"stream"'));
  expect(sample(text, 'holdfast_replay_bytes')).toBe(frames.reduce((sum, line) => sum + line.length + 1, 0));
  expect(sample(text, `holdfast_session_cpu_seconds{pid="${busy.pid}"}`)).toBeGreaterThanOrEqual(0.1);
  expect(sample(text, `holdfast_session_memory_bytes{pid="${busy.pid}"}`)).toBeGreaterThan(10_000_000);
  expect(text.match(/^holdfast_session_\w+\{/gm)).toHaveLength(2);
  expect(sample(text, 'holdfast_connections')).toBe(1);
  expect(sample(text, 'holdfast_memory_bytes')).toBeGreaterThan(10_000_000);
  expect(Math.abs(sample(text, 'holdfast_start_time_seconds') - Date.now() / 1000)).toBeLessThan(60);
});

test('the latency of each method is a histogram whose counts are the requests', async () => {
  const { daemon, port } = await withMetrics();
  await using _ = daemon;
  await using client = await connectRaw(daemon);
  for (let n = 0; n < 5; n++) {
    await client.call('server.ping');
  }
  await client.spawn('p', 'cat', []);
  await client.call('process.killAndWait', { id: 'p' });
  await client.request('files.stat', { path: '/does/not/exist' });
  await client.request('no.such.method');
  const { text, headers } = await get({ port });
  expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  const name = 'holdfast_rpc_duration_seconds';
  const methods = [...text.matchAll(/^holdfast_rpc_duration_seconds_count\{method="([^"]*)"\} (\d+)$/gm)];
  expect(Object.fromEntries(methods.map(([, method, count]) => [method, Number(count)]))).toEqual({
    'server.ping': 5,
    'process.spawn': 1,
    'process.killAndWait': 1,
    'files.stat': 1,
  });
  const buckets = [
    ...text.matchAll(/^holdfast_rpc_duration_seconds_bucket\{method="server\.ping",le="([^"]+)"\} (\d+)$/gm),
  ];
  const counts = buckets.map(([, , count]) => Number(count));
  expect(counts).toEqual(counts.toSorted((a, b) => a - b));
  expect(buckets.at(-1)?.slice(1)).toEqual(['+Inf', '5']);
  expect(sample(text, `${name}_sum{method="server.ping"}`)).toBeGreaterThan(0);
  expect(text).toContain(`# TYPE ${name} histogram\n`);
  expect(sample(text, 'holdfast_event_loop_turns_total')).toBeGreaterThan(0);
  await waitUntil(
    async () => sample((await get({ port })).text, 'holdfast_event_loop_delay_seconds_count') > 0,
    'a delay',
  );
});

test('the contract’s counters have no labels, and no sample carries a word of a client, a path or a host name', async () => {
  const { daemon, port } = await withMetrics();
  await using _ = daemon;
  await using client = await connectRaw(daemon);
  await client.spawn('id-of-a-client', 'sh', ['-c', 'echo argument-of-a-client'], {
    cwd: daemon.home,
    env: { NAME_OF_A_CLIENT: '1' },
  });
  await client.exitOf('id-of-a-client');
  await client.spawn('running-of-a-client', 'cat', []);
  await client.request('method.of-a-client');
  const { text } = await get({ port });
  for (const word of ['of-a-client', 'OF_A_CLIENT', daemon.dir, daemon.token, hostname(), String(daemon.pid())]) {
    expect(text).not.toContain(word);
  }
  expect(text.match(/^claustrum_\w+\{/gm)).toBeNull();
  const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, label]) => label));
  expect([...labels].sort()).toEqual(['le', 'method', 'pid', 'profile', 'state', 'version']);
  expect(text.match(/pid="[^"]*"/g)).toEqual(expect.arrayContaining([expect.stringMatching(/^pid="\d+"$/)]));
});

test('refused input and lost lines are counted', async () => {
  const { daemon, port } = await withMetrics({ profile: 'current', flags: ['-log-max-bytes', '2000'] });
  await using _ = daemon;
  await using client = await connectRaw(daemon);
  await client.spawn('deaf', 'sleep', ['1000']);
  const piece = Buffer.alloc(700_000, 'x');
  let refused = 0;
  for (let n = 0; n < 26; n++) {
    if ((await client.stdin('deaf', piece)).error !== undefined) {
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(0);
  const { text } = await get({ port });
  expect(sample(text, 'holdfast_stdin_refused_bytes_total')).toBe(refused * piece.length);
  expect(sample(text, 'holdfast_stdin_queue_full_total')).toBe(1);
  await using rude = await connectRaw(daemon, { auth: null });
  for (let n = 0; n < 60; n++) {
    await rude.request('server.ping');
  }
  expect(sample((await get({ port })).text, 'holdfast_log_rotations_total')).toBeGreaterThan(0);
  expect(sample(text, 'holdfast_log_lines_dropped_total')).toBe(0);
});

test('HEAD is answered like GET, without the body, on every path', async () => {
  const { daemon, port } = await withMetrics();
  await using _ = daemon;
  for (const [path, status] of [
    ['/metrics', 200],
    ['/metrics?x=1', 200],
    ['/', 404],
  ] as const) {
    const head = await get({ port }, {}, path, 'HEAD');
    const whole = await get({ port }, {}, path, 'GET');
    expect([head.status, head.text]).toEqual([status, '']);
    expect(head.headers['content-type']).toBe(whole.headers['content-type']);
    expect(Object.keys(head.headers)).toEqual(Object.keys(whole.headers));
  }
  const { headers } = await get({ port }, {}, '/metrics', 'HEAD');
  expect(Number(headers['content-length'])).toBeGreaterThan(1_000);
  expect((await get({ port }, { Host: 'evil.example' }, '/metrics', 'HEAD')).status).toBe(403);
});

test('only GET and HEAD of /metrics are answered', async () => {
  const { daemon, port } = await withMetrics();
  await using _ = daemon;
  expect((await get({ port }, {}, '/metrics?x=1')).status).toBe(200);
  for (const path of ['/', '/metrics/', '/metricsx', '//metrics', '/../metrics']) {
    expect((await get({ port }, {}, path)).status).toBe(404);
  }
  for (const method of ['POST', 'PUT', 'OPTIONS', 'DELETE']) {
    expect((await get({ port }, {}, '/metrics', method)).status).toBe(404);
  }
});

test('on loopback a request that names another host is refused, so no web page can read along', async () => {
  const { daemon, port } = await withMetrics();
  await using _ = daemon;
  for (const host of [
    'evil.example',
    `evil.example:${port}`,
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '[::2]',
    '10.0.0.1',
  ]) {
    const { status, text } = await get({ port }, { Host: host });
    expect({ host, status, leaks: text.includes('claustrum_') }).toEqual({ host, status: 403, leaks: false });
  }
  for (const host of ['localhost', `LOCALHOST:${port}`, '127.0.0.1', `127.0.0.2:${port}`, `[::1]:${port}`]) {
    expect({ host, status: (await get({ port }, { Host: host })).status }).toEqual({ host, status: 200 });
  }
});

test('an address without host is a loopback address, and nothing warns', async () => {
  const { daemon, port } = await withMetrics({}, ':0');
  await using _ = daemon;
  expect((await get({ port })).status).toBe(200);
  expect(daemon.log()).toMatch(/metrics: listening on 127\.0\.0\.1:\d+$/m);
  expect(daemon.log()).not.toMatch(/WARN .*metrics/);
});

test('an address that other hosts can reach is served as asked, with a warning', async () => {
  const { daemon, port } = await withMetrics({}, '0.0.0.0:0');
  await using _ = daemon;
  expect((await get({ port }, { Host: 'any.example' })).status).toBe(200);
  expect(daemon.log()).toMatch(
    /WARN {2}\[Server\] metrics: 0\.0\.0\.0:\d+ can be reached from other hosts, .* use 127\.0\.0\.1:<port>, or unix:<path> on a shared host$/m,
  );
});

test('unix:<path> is an owner-only socket that goes with the daemon', async () => {
  const { daemon } = await withMetrics({ env: {} }, 'unix:~/../metrics.sock');
  await using _ = daemon;
  const path = join(daemon.dir, 'metrics.sock');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const { status, text } = await get(socketOf(daemon), { Host: 'whatever' });
  expect(status).toBe(200);
  expect(sample(text, 'claustrum_process_spawns_total')).toBe(0);
  await daemon.stop();
  expect(() => statSync(path)).toThrow('ENOENT');
});

test('a socket left by a killed daemon is replaced, anything else at its path is not', async () => {
  const { daemon } = await withMetrics({}, 'unix:~/../metrics.sock');
  await using _ = daemon;
  const path = join(daemon.dir, 'metrics.sock');
  await daemon.kill();
  expect(statSync(path).isSocket()).toBe(true);
  await daemon.start();
  expect((await get(socketOf(daemon))).status).toBe(200);
  await daemon.stop();
  writeFileSync(path, 'precious');
  await daemon.start();
  expect(daemon.log()).toMatch(`ERROR [Server] metrics: listen unix ${path}: it exists and is no socket`);
  expect(readFileSync(path, 'utf8')).toBe('precious');
  await using client = await connectRaw(daemon);
  await client.call('server.ping');
  rmSync(path);
});

test('a socket on which somebody else answers is not taken, be it the daemon’s own; a predecessor’s is', async () => {
  const agent = createServer((socket) => socket.on('error', () => {}));
  await using daemon = await prepareDaemon();
  const path = join(daemon.dir, 'agent.sock');
  await new Promise<void>((resolve) => agent.listen(path, resolve));
  onTestFinished(() => void agent.close());
  const { ino } = statSync(path);
  for (const taken of [path, daemon.socket]) {
    await daemon.start(['-metrics-addr', `unix:${taken}`]);
    expect(daemon.log()).toContain(`ERROR [Server] metrics: listen unix ${taken}: bind: address already in use`);
    await using client = await connectRaw(daemon);
    await client.call('server.ping');
    await daemon.stop();
  }
  expect(statSync(path).ino).toBe(ino);

  const place = join(daemon.dir, 'metrics.sock');
  await daemon.start(['-metrics-addr', `unix:${place}`]);
  const timings = { metricsKeptMs: 0 };
  await using other = await startDaemon({ flags: ['-metrics-addr', `unix:${place}`], timings });
  expect(sample((await get({ socketPath: place })).text, 'claustrum_connections_total')).toBeGreaterThan(0);
  await daemon.stop();
  await using client = await connectRaw(other);
  await client.spawn('of-the-other', 'true', []);
  expect(sample((await get({ socketPath: place })).text, 'claustrum_process_spawns_total')).toBe(1);
});

test.each([
  ['unix:', /metrics: listen tcp: address unix:: want host:port, or unix:<path>/],
  ['nowhere', /metrics: listen tcp: address nowhere: want host:port, or unix:<path>/],
  ['127.0.0.1:99999', /metrics: listen tcp: address 127\.0\.0\.1:99999: want host:port/],
  [
    'unix:/no/such/folder/s',
    /metrics: listen unix: listen unix \/no\/such\/folder\/s: bind: no such file or directory/,
  ],
  ['203.0.113.1:9', /metrics: listen EADDRNOTAVAIL/],
])('an address that cannot be served (%s) is told and the daemon serves', async (address, reason) => {
  await using daemon = await startDaemon({ flags: ['-metrics-addr', address] });
  expect(daemon.log()).toMatch(reason);
  await using client = await connectRaw(daemon);
  await client.call('server.ping');
});

test('many scrapes of many processes leave no descriptor open', async () => {
  const { daemon, port } = await withMetrics();
  await using _ = daemon;
  await using client = await connectRaw(daemon);
  for (let n = 0; n < 20; n++) {
    await client.spawn(`p${n}`, 'cat', []);
  }
  await get({ port });
  for (let n = 0; n < 20; n++) {
    await client.call('process.killAndWait', { id: `p${n}`, signal: 'KILL' });
  }
  for (let n = 0; n < 30; n++) {
    await get({ port });
  }
  const pid = daemon.pid();
  const open = () => [...openDescriptors(pid).values()].filter((target) => target.startsWith('/proc/'));
  await waitUntil(() => open().length === 0 || undefined, 'the stat files of the processes to be closed');
});

test('the dashboard and the alert rules ask for nothing that is not there', async () => {
  const { daemon, port } = await withMetrics();
  await using _ = daemon;
  await using client = await connectRaw(daemon);
  await client.spawn('held', 'cat', []);
  await waitUntil(
    async () => /delay_seconds_count [1-9]/.test((await get({ port })).text) || undefined,
    'every series',
  );
  const served = new Set([...(await get({ port })).text.matchAll(/^(\w+)[ {]/gm)].map(([, name]) => name));
  const folder = join(import.meta.dirname, '..', '..', '..', 'docs', 'metrics');
  const dashboard = readFileSync(join(folder, 'grafana-dashboard.json'), 'utf8');
  const alerts = readFileSync(join(folder, 'alert-rules.yaml'), 'utf8');
  const named = [...(dashboard + alerts).matchAll(/\b(?:holdfast|claustrum)_\w+/g)].map(([name]) => name);
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((name) => !served.has(name))).toEqual([]);
  const { panels } = JSON.parse(dashboard);
  expect(
    panels
      .filter(({ type }: { type: string }) => type !== 'row')
      .every(({ targets }: { targets: unknown[] }) => targets.length > 0),
  ).toBe(true);
  const pages = readFileSync(join(folder, '..', 'operators.md'), 'utf8');
  const own = [...served]
    .filter((name) => name?.startsWith('holdfast_'))
    .map((name) => name?.replace(/_(bucket|sum|count)$/, '') ?? '');
  expect(own.filter((name) => !pages.includes(`\`${name}\``))).toEqual([]);
  // What is of no use on a dashboard: the version, and the share of the whole life beside the rate of it.
  const left = ['holdfast_info', 'holdfast_event_loop_utilization', 'holdfast_start_time_seconds'];
  const shown = new Set(named.map((name) => name.replace(/_(bucket|sum|count)$/, '')));
  expect(own.filter((name) => !shown.has(name) && !left.includes(name))).toEqual([]);
});
