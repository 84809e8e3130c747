/** Threat 13: somebody takes as much as there is of something. Each cap says so in log and metric, and others are served meanwhile. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { asUser, otherUsers } from '../support/as-user.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import * as needs from '../support/needs.ts';
import { openDescriptors } from '../support/processes.ts';
import { patienceMs, waitUntil } from '../support/wait.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';
import { expectNothingLeft, holdingsOf } from './support/leaks.ts';
import { byLength, limitMs } from './support/length.ts';

/** src/doors/rpc/connection.ts */
const mostCalls = 4096;
const connections = byLength(1_000, 10_000);
const entries = byLength(4_000, 200_000);
const lonelyUser = 61_013;

async function startWithMetrics(through?: readonly string[]): Promise<[TestDaemon, (name: string) => Promise<number>]> {
  const flags = ['-metrics-addr', '127.0.0.1:0'];
  // Each look is at the counters of that moment.
  const timings = { metricsKeptMs: 0 };
  const daemon = await startDaemon({
    profile: 'current',
    flags,
    timings,
    ...(through === undefined ? {} : { through }),
  });
  const line = await daemon.untilLogged(/metrics: listening on /);
  const url = `http://127.0.0.1:${/:(\d+)$/.exec(line)?.[1]}/metrics`;
  const counter = async (name: string): Promise<number> => {
    const text = await (await fetch(url, { headers: { connection: 'close' } })).text();
    return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
  };
  return [daemon, counter];
}

/** Pings one after the other until `work` is done. @returns how many were answered meanwhile */
async function pingsDuring(client: RawConnection, work: Promise<unknown>): Promise<number> {
  let done = false;
  const finished = work.finally(() => {
    done = true;
  });
  let pings = 0;
  while (!done) {
    await client.call('server.ping');
    pings++;
  }
  await finished;
  return pings;
}

test('at the border of the requests in progress all are answered; beyond, reading waits, which is told, and others go on', {
  timeout: limitMs(60),
}, async () => {
  const [started, counter] = await startWithMetrics();
  await using daemon = started;
  await using other = await connectRaw(daemon);
  await other.spawn('stubborn', ...fixture('ignore-term.sh'));
  await other.untilOutput('stubborn', 'ready');
  const wait = { id: 'stubborn', timeoutMs: 30_000, escalate: false };

  await using greedy = await connectRaw(daemon);
  for (let call = 1; call < mostCalls; call++) {
    greedy.post('process.killAndWait', wait);
  }
  // One less than the cap: this one is still read.
  expect(await greedy.call('server.ping')).toEqual({ pong: true });
  expect(await counter('holdfast_busy_connections_total')).toBe(0);

  greedy.post('process.killAndWait', wait);
  await daemon.untilLogged(
    /WARN {2}\[Server\] connection has 4096 requests in progress; reading goes on when some are answered/,
  );
  greedy.post('server.ping');
  const answered = greedy.replies.length;
  expect(await pingsDuring(other, other.call('server.capabilities'))).toBeGreaterThan(0);
  expect(greedy.replies.length).toBe(answered);
  expect(await counter('holdfast_busy_connections_total')).toBe(1);

  // The end of what they wait for answers them all, and what was behind them is read.
  await other.kill('stubborn', 'KILL');
  await greedy.waitFor(() => greedy.replies.length === answered + mostCalls + 1, 'every reply');
  expect(greedy.replies.filter(({ result }) => result?.died === true)).toHaveLength(mostCalls);
  expect(greedy.replies.slice(answered).filter(({ result }) => result?.pong === true)).toHaveLength(1);
});

test('a thousand connections at once are served or closed, one more client is served, and all of it is given back', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  await using other = await connectRaw(daemon);
  const before = await holdingsOf(daemon, other);
  const crowd: RawConnection[] = [];
  const arrive = async () => {
    while (crowd.length < connections) {
      const more = await Promise.all(Array.from({ length: 50 }, () => connectRaw(daemon)));
      crowd.push(...more);
    }
    await Promise.all(crowd.map((client) => client.call('server.ping')));
  };
  expect(await pingsDuring(other, arrive())).toBeGreaterThan(0);
  expect(openDescriptors(daemon.pid()).size).toBeGreaterThanOrEqual(connections);
  for (const client of crowd) {
    client.destroy();
  }
  await expectNothingLeft(daemon, before);
});

test('a huge folder is listed while others are answered', { timeout: limitMs(60) }, async () => {
  await using daemon = await startDaemon();
  const folder = join(daemon.dir, 'huge');
  mkdirSync(folder);
  for (let entry = 0; entry < entries; entry++) {
    writeFileSync(join(folder, `entry-${entry}`), '');
  }
  await using reader = await connectRaw(daemon);
  await using other = await connectRaw(daemon);
  const listing = reader.call('files.list', { path: folder });
  expect(await pingsDuring(other, listing)).toBeGreaterThan(1);
  expect((await listing).entries).toHaveLength(entries);
});

needs.testNeeding(needs.linux, otherUsers(), needs.installed('prlimit', 'util-linux'))(
  'a child that forks without end hits its user’s limit, the daemon serves on, and one kill ends all of them',
  { timeout: limitMs(60) },
  async () => {
    await using daemon = await startDaemon({ through: [...asUser(lonelyUser), 'prlimit', '--nproc=80', '--'] });
    await using other = await connectRaw(daemon);
    await other.spawn('cat', 'cat');
    await using client = await connectRaw(daemon);
    await client.spawn('bomb', 'sh', ['-c', 'while :; do sleep 3600 & done']);
    // The shell says so when it cannot fork any more.
    await waitUntil(() => client.stream('bomb').text('stderr').match(/fork/i) !== null, 'the limit');
    expect((await other.request('process.spawn', { id: 'more', command: 'true' })).error).toMatchObject({
      code: -32603,
    });
    await other.stdin('cat', 'still here\n');
    await other.untilOutput('cat', 'still here\n');
    expect(await other.call('process.killAndWait', { id: 'bomb', signal: 'KILL' })).toMatchObject({ died: true });
    await expect
      .poll(async () => (await other.request('process.spawn', { id: 'more', command: 'true' })).error, {
        timeout: patienceMs,
      })
      .toBeUndefined();
    await expect.poll(() => daemon.processes().length, { timeout: patienceMs }).toBeLessThanOrEqual(2);
  },
);
