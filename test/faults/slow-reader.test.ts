/**
 * Fault 7 and the fault table's "client that never reads while a child writes 1 GiB" (spec wire.md §2 "steady reader"): one that
 * reads gets every byte, however slowly; one that does not costs nobody else anything, is cut off with a log line and can
 * reattach.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { residentBytes } from '../support/processes.ts';
import { readSteadily } from '../support/steady-reader.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';
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
  await using daemon = await startDaemon({ profile: 'current', timings: { readerStallMs: 1000 } });
  using run = new WatchedRun(daemon.dir);
  await using other = await connectRaw(daemon, { name: 'other', keep: 'figures' });
  // A daemon that has done this kind of work before is what it is compared with.
  await spawnAndLeave(daemon, 'warm', ...noise(64 * mebibyte, '--sha256', join(daemon.dir, 'warm')));
  await waitUntil(() => existsSync(join(daemon.dir, 'warm')), 'the first child to have written everything');
  const pid = daemon.pid();
  const before = residentBytes(pid);

  await using slow = await connectRaw(daemon, { name: 'slow', observer: run.observer });
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

  expect(daemon.log()).toMatch(/WARN .*Process flood: its client has read nothing for 1 s; holding it back no longer/);
  await daemon.untilLogged(
    /WARN .*\[frameSink\] slow reader dropped: process flood evicted seq \d+ before it was sent; reattach with fromSeq \d+/,
  );
  slow.resumeReading();
  await slow.untilClosed();

  // What the window holds comes whole, the exit frame last.
  await using again = await connectRaw(daemon, { name: 'again', keep: 'figures', observer: run.observer });
  const { firstSeq, lastSeq } = await again.reattach('flood', slow.stream('flood').lastSeq);
  expect(firstSeq).toBeGreaterThan(slow.stream('flood').lastSeq);
  const exit = await again.exitOf('flood');
  expect(exit).toMatchObject({ exitCode: 0 });
  expect(exit.seq).toBeGreaterThanOrEqual(lastSeq);
  expect(again.stream('flood')).toMatchObject({ count: exit.seq - firstSeq + 1, lastSeq: exit.seq });
  run.verify();
});

describe('a client that reads steadily gets every byte of a program that is faster', () => {
  test.each([
    ['at 50 MB/s, a burst of 100 MB', byLength(40, 100) * 1_000_000, 50_000_000, 3600],
    ['at 4 MB/s, a burst of 20 MB', 20_000_000, 4_000_000, byLength(3, 3600)],
    // Four times the limit after which a client counts as one that has stopped; then the rest in a hurry.
    ['at 1 kB/s', 40_000_000, 1000, 8],
  ])('%s', { timeout: limitMs(60) }, async (_, bytes, rate, seconds) => {
    await using daemon = await startDaemon({ timings: { readerStallMs: 2000 } });
    const file = join(daemon.dir, 'sha256');
    const arrived = await readSteadily({
      ...{ rate, seconds, token: daemon.token, through: { socket: daemon.socket } },
      command: commandLine(noise(bytes, '--sha256', file)),
    });
    expect(arrived).toMatchObject({ bytes, exitCode: 0, gap: false, closed: false });
    expect(arrived.sha256).toBe(readFileSync(file, 'utf8'));
    expect(daemon.log()).not.toMatch(/slow reader dropped|holding it back no longer/);
    expect(daemon.log().match(/reads more slowly than it writes; holding it back/g)).toHaveLength(1);
  });

  test('one byte at a time, for as long as it likes, and nobody else notices', { timeout: limitMs(60) }, async () => {
    // Nor does it count as idle, where idle clients are closed.
    await using daemon = await startDaemon({ profile: 'current', timings: { readerStallMs: 1000, idleCloseMs: 2500 } });
    const written = join(daemon.dir, 'sha256');
    const leave = new AbortController();
    const reading = readSteadily({
      ...{ rate: 20, seconds: 3600, token: daemon.token, through: { socket: daemon.socket }, signal: leave.signal },
      command: commandLine(noise(64 * mebibyte, '--sha256', written)),
    });
    await daemon.untilLogged(/its client reads more slowly than it writes; holding it back/);
    // Several times the limit after which a client counts as one that has stopped.
    for (let until = performance.now() + 6000; performance.now() < until; ) {
      await using other = await connectRaw(daemon, { name: 'other' });
      expect(await other.call('server.ping')).toEqual({ pong: true });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(existsSync(written)).toBe(false);
    expect(daemon.log()).not.toMatch(/slow reader dropped|holding it back no longer|closing connection idle/);
    // Once the client is gone nobody holds the program back.
    leave.abort();
    await expect(reading).rejects.toThrow();
    await waitUntil(() => existsSync(written), 'the child to have written everything');
  });
});

test('a program that is held back ends when it is told to, and its client gets what it had written', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon();
  await using slow = await connectRaw(daemon, { keep: 'figures' });
  const [command, args] = noise(200 * mebibyte);
  slow.pauseReading();
  slow.post('process.spawn', { id: 'flood', command, args });
  await daemon.untilLogged(/Process flood: its client reads more slowly than it writes; holding it back/);
  await using other = await connectRaw(daemon, { name: 'other', keep: 'figures' });
  expect(await other.call('process.killAndWait', { id: 'flood', signal: 'KILL' })).toEqual({ found: true, died: true });
  slow.resumeReading();
  expect(await slow.exitOf('flood')).toMatchObject({ exitCode: -1 });
  const { gaps, lastSeq, count } = slow.stream('flood');
  expect([gaps, count]).toEqual([[], lastSeq]);
});

test('a client that asked not to hold programs back is cut off as soon as it falls behind', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon({ flags: ['-slow-reader', 'drop'] });
  await using slow = await connectRaw(daemon, { keep: 'figures' });
  slow.pauseReading();
  const [command, args] = noise(64 * mebibyte, '--sha256', join(daemon.dir, 'sha256'));
  slow.post('process.spawn', { id: 'flood', command, args });
  await daemon.untilLogged(/WARN .*slow reader dropped: process flood/);
  expect(daemon.log()).not.toMatch(/holding it back/);
});

test('what a reattach has promised is kept until it is read, however much the child writes meanwhile', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon({ timings: { readerStallMs: 500 } });
  using run = new WatchedRun(daemon.dir);
  const written = join(daemon.dir, 'sha256');
  await spawnAndLeave(daemon, 'flood', ...noise(512 * mebibyte, '--sha256', written, ...run.child('flood')));
  await daemon.untilLogged(/WARN .*Process flood: replay window full/);
  await using patient = await connectRaw(daemon, { name: 'patient', keep: 'figures', observer: run.observer });
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

/** As a shell takes it. */
function commandLine([command, args]: readonly [string, readonly string[]]): string {
  return [command, ...args].map((word) => `'${word}'`).join(' ');
}

/** Starts a child and goes away; nobody reads it. */
async function spawnAndLeave(daemon: TestDaemon, id: string, command: string, args: readonly string[]): Promise<void> {
  await using client = await connectRaw(daemon, { keep: 'figures' });
  await client.spawn(id, command, args);
}
