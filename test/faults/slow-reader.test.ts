/**
 * Fault 7 and the fault table's "client that never reads while a child writes 1 GiB": the child is not slowed, the daemon's
 * memory is bounded, others are served, and the slow one is cut off with a log line and can reattach.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connect } from '../support/client.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { residentBytes } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { startFaultProxy } from '../tools/fault-proxy.ts';
import { byLength, limitMs } from './support/length.ts';
import { WatchedRun } from './support/watched-run.ts';

const mebibyte = 1024 * 1024;
const flood = byLength(1, 8) * 1024 * mebibyte;
/** spec process.md §9. */
const window = 16 * mebibyte;
/**
 * What else may come while one child floods: bytes on their way to a socket, one chunk for each pipe, and the garbage that
 * the runtime has not swept yet, for which it takes more room the longer it goes on, up to three semi-spaces of 32 MiB. A
 * queue that grows with the reader's lag would be as large as the flood.
 */
const slack = byLength(24, 96) * mebibyte;
/** A daemon that went on reading the child as long as there is something would answer a handful. */
const fewestPings = 200;

const noise = (bytes: number, ...more: string[]) =>
  fixture('write-noise.ts', '--bytes', String(bytes), '--seed', 'flood', ...more);

test('while a child writes a gibibyte to a client that never reads, memory is bounded and others are answered', {
  timeout: limitMs(120),
}, async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  using run = new WatchedRun(daemon.dir);
  await using other = await connect(daemon, { name: 'other', keep: 'figures' });
  // A daemon that has done this kind of work before is what it is compared with.
  await spawnAndLeave(daemon, 'warm', ...noise(64 * mebibyte, '--sha256', join(daemon.dir, 'warm')));
  await waitUntil(() => existsSync(join(daemon.dir, 'warm')), 'the first child to have written everything');
  const pid = daemon.pid();
  const before = residentBytes(pid);

  await using slow = await connect(daemon, { name: 'slow', observer: run.observer });
  // The child leaves a file when everything is written.
  const written = join(daemon.dir, 'sha256');
  await slow.spawn('flood', ...noise(flood, '--sha256', written, ...run.child('flood')));
  slow.pauseReading();
  let pings = 0;
  let highest = before;
  while (!existsSync(written)) {
    await other.call('server.ping');
    pings++;
    if (pings % 50 === 0) {
      highest = Math.max(highest, residentBytes(pid));
    }
  }
  highest = Math.max(highest, residentBytes(pid));
  expect(highest - before).toBeLessThan(window + slack);
  expect(pings).toBeGreaterThan(fewestPings);

  await daemon.untilLogged(
    /WARN .*\[frameSink\] slow reader dropped: process flood evicted seq \d+ before it was sent; reattach with fromSeq \d+/,
  );
  slow.resumeReading();
  await slow.untilClosed();

  // What the window holds comes whole, the exit frame last.
  await using again = await connect(daemon, { name: 'again', keep: 'figures', observer: run.observer });
  const { firstSeq, lastSeq } = await again.reattach('flood', slow.stream('flood').lastSeq);
  expect(firstSeq).toBeGreaterThan(slow.stream('flood').lastSeq);
  expect(await again.exitOf('flood')).toMatchObject({ exitCode: 0 });
  expect(again.stream('flood')).toMatchObject({ count: lastSeq - firstSeq + 1, lastSeq });
  run.verify();
});

test('a reader of one byte at a time is cut off the same way, and reattaches to a complete window', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon();
  using run = new WatchedRun(daemon.dir);
  await using proxy = await startFaultProxy({
    listen: join(daemon.dir, 'proxy'),
    target: daemon.socket,
    toClient: `chunk 1; delay ${byLength(20, 1000)}`,
  });
  await using slow = await connect(
    { socket: proxy.address, token: daemon.token },
    { name: 'slow', observer: run.observer },
  );
  const written = join(daemon.dir, 'sha256');
  const [command, args] = noise(64 * mebibyte, '--sha256', written, ...run.child('flood'));
  slow.post('process.spawn', { id: 'flood', command, args });
  await daemon.untilLogged(/WARN .*slow reader dropped: process flood/);
  slow.destroy();
  await waitUntil(() => existsSync(written), 'the child to have written everything');
  await using again = await connect(daemon, { name: 'again', keep: 'figures', observer: run.observer });
  const { firstSeq } = await again.reattach('flood', 0);
  expect(firstSeq).toBeGreaterThan(1);
  expect(await again.exitOf('flood')).toMatchObject({ exitCode: 0 });
  run.verify();
});

test('what a reattach has promised is kept until it is read, however much the child writes meanwhile', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon();
  using run = new WatchedRun(daemon.dir);
  const written = join(daemon.dir, 'sha256');
  await spawnAndLeave(daemon, 'flood', ...noise(512 * mebibyte, '--sha256', written, ...run.child('flood')));
  await daemon.untilLogged(/WARN .*Process flood: replay window full/);
  await using patient = await connect(daemon, { name: 'patient', keep: 'figures', observer: run.observer });
  const request = patient.post('process.reattach', { id: 'flood', fromSeq: 0 });
  patient.pauseReading();
  await waitUntil(() => existsSync(written), 'the child to have written everything');
  patient.resumeReading();
  const { result } = await patient.waitFor(() => patient.replies.find(({ id }) => id === request), 'the reply');
  const { firstSeq, lastSeq } = result;
  const seen = patient.stream('flood');
  // It was asked for in the middle of the flood, so almost all of what was promised has left the window since.
  expect(lastSeq).toBeGreaterThan(firstSeq);
  expect(lastSeq).toBeLessThan((512 * mebibyte) / 32_768);
  expect(seen.lastSeq).toBeGreaterThanOrEqual(lastSeq);
  expect(seen.gaps).toEqual([{ after: 0, before: firstSeq }]);
  run.verify();
});

/** Starts a child and goes away; nobody reads it. */
async function spawnAndLeave(daemon: TestDaemon, id: string, command: string, args: readonly string[]): Promise<void> {
  await using client = await connect(daemon, { keep: 'figures' });
  await client.spawn(id, command, args);
}
