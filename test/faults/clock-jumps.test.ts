/**
 * Fault 17: the wall clock jumps a day back, ten years ahead and to and fro while timers run; the machine sleeps for an hour.
 * No timer storm, no live session expires, nothing ends that should not.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { prepareDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import * as needs from '../support/needs.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';
import { byLength, limitMs } from './support/length.ts';
import { untilIdle } from './support/processor-time.ts';
import { WatchedRun } from './support/watched-run.ts';

const test = needs.testNeeding(needs.linux, needs.faketime);
const corrections = byLength(30, 1_000);

/** A daemon with a clock of its own. */
async function startWithClock(options: {
  readonly monotonicToo: boolean;
}): Promise<[TestDaemon, (offset: string) => void]> {
  const daemon = await prepareDaemon({ profile: 'current' });
  const file = join(daemon.dir, 'clock');
  const setClock = (offset: string) => {
    // Never half a line, whenever the daemon looks.
    writeFileSync(`${file}.new`, offset);
    renameSync(`${file}.new`, file);
  };
  setClock('+0');
  Object.assign(daemon.env, {
    LD_PRELOAD: needs.faketimeLibrary,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: options.monotonicToo ? '0' : '1',
  });
  await daemon.start();
  return [daemon, setClock];
}

/** The newest year in the log shows what the daemon's clock says. */
async function expectYear(daemon: TestDaemon, year: number): Promise<void> {
  await using client = await connectRaw(daemon);
  await client.call('server.ping');
  await waitUntil(
    () => daemon.log().trimEnd().split('\n').at(-1)?.startsWith(`${year}/`),
    `a log line of the year ${year}`,
  );
}

async function expectUnharmed(client: RawConnection, id: string, started: object): Promise<void> {
  const { lastSeq } = client.stream(id);
  await client.waitFor(() => client.stream(id).lastSeq > lastSeq + 5, 'the session to go on');
  const { found, running, pid, startTime } = await client.call('process.reattach', {
    ...{ id, wantPid: true, fromSeq: client.stream(id).lastSeq },
  });
  expect({ found, running, pid, startTime }).toEqual({ found: true, running: true, ...started });
  // A wait is as long as it was asked for: not over at once, and over at some time.
  const stubborn = `stubborn-${lastSeq}`;
  await client.spawn(stubborn, ...fixture('ignore-term.sh'));
  await client.untilOutput(stubborn, 'ready');
  expect(await client.call('process.killAndWait', { id: stubborn, timeoutMs: 50, escalate: false })).toEqual({
    found: true,
    died: false,
  });
  expect(await client.call('process.killAndWait', { id: stubborn, timeoutMs: 50 })).toEqual({
    found: true,
    died: true,
    escalated: true,
  });
}

test('a wall clock that jumps by a day, by ten years and to and fro changes nothing but the times in the log', {
  timeout: limitMs(60),
}, async () => {
  const [started, setClock] = await startWithClock({ monotonicToo: false });
  await using daemon = started;
  using run = new WatchedRun(daemon.dir);
  await using client = await connectRaw(daemon, { name: 'client', observer: run.observer });
  const counter = fixture('count-forever.ts', '--every', '1', ...run.child('count'));
  const { pid, startTime } = await client.spawn('count', ...counter, { wantPid: true });
  await client.waitFor(() => client.stream('count').lastSeq > 5, 'the first numbers');
  const year = new Date().getFullYear();

  for (const [offset, thenYear] of [
    ['-1d', new Date(Date.now() - 86_400_000).getFullYear()],
    ['+10y', year + 10],
    ['-30y', year - 30],
    ['+0', year],
  ] as const) {
    setClock(offset);
    await expectYear(daemon, thenYear);
    await expectUnharmed(client, 'count', { pid, startTime });
  }
  for (let correction = 0; correction < corrections; correction++) {
    setClock(correction % 2 === 0 ? '+1h' : '-1h');
    await client.call('server.ping');
  }
  setClock('+0');
  await client.kill('count');
  await client.exitOf('count');
  await untilIdle(daemon.pid());
  // Years have gone by on the wall; the buffers of what has ended are kept by another clock.
  expect(await client.reattach('count')).toMatchObject({ found: true, running: false });
  run.verify();
});

test('after an hour of sleep every timer is due at once, and still no live session and no busy connection is lost', {
  timeout: limitMs(60),
}, async () => {
  const [started, setClock] = await startWithClock({ monotonicToo: true });
  await using daemon = started;
  await using client = await connectRaw(daemon);
  const { pid, startTime } = await client.spawn('count', 'sh', ['-c', 'while :; do echo x; sleep 0.01; done'], {
    wantPid: true,
  });
  await client.spawn('ended', 'true');
  await client.exitOf('ended');
  await client.waitFor(() => client.stream('count').lastSeq > 5, 'the first lines');
  setClock('+1h');
  await expectUnharmed(client, 'count', { pid, startTime });
  // What had ended is forgotten after fifteen minutes, also when they went by in sleep.
  await expect.poll(() => client.reattach('ended', 0)).toMatchObject({ found: false });
  setClock('+2h');
  await expectUnharmed(client, 'count', { pid, startTime });
  await client.kill('count');
  await client.exitOf('count');
  await untilIdle(daemon.pid());
});
