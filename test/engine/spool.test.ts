/** Output beyond the memory window, on disk (spec extensions.md §4 `spool-bytes`): the rules, against a window that keeps all. */
import { closeSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { PinnedReplay } from '../../src/engine/local/pinned-replay.ts';
import { ReplayWindow } from '../../src/engine/local/replay-window.ts';
import { waitUntil } from '../support/wait.ts';

const memoryBytes = 400_000;

interface Opened {
  readonly window: ReplayWindow;
  /** Files of the spool that are open; they have no name any more. */
  openFiles(): number;
  readonly evicted: { seq: number; count: number }[];
  readonly failures: unknown[];
}

function open(maxBytes: number, openFile?: (path: string) => number): Opened {
  const folder = mkdtempSync('/tmp/hf-');
  onTestFinished(() => rmSync(folder, { recursive: true }));
  let made = 0;
  const evicted: Opened['evicted'] = [];
  const failures: unknown[] = [];
  const window = new ReplayWindow(
    memoryBytes,
    {
      onEvict: (seq, count) => evicted.push({ seq, count }),
      onSpoolFailure: (error) => failures.push(error),
    },
    {
      spool: {
        maxBytes,
        open: () => {
          made++;
          const path = join(folder, String(made));
          const fd = openFile?.(path) ?? openSync(path, 'wx+');
          unlinkSync(path);
          return fd;
        },
      },
    },
  );
  const openFiles = (): number =>
    readdirSync('/proc/self/fd').filter((fd) => linkOf(`/proc/self/fd/${fd}`).startsWith(`${folder}/`)).length;
  return { window, openFiles, evicted, failures };
}

function frame(seq: number, size: number): Buffer {
  return Buffer.from(`${`${seq} `.repeat(size).slice(0, size - 1)}\n`);
}

/** Sizes from a few bytes to the largest frame, the same for the same number. */
const sizeOf = (seq: number): number => (seq % 7 === 0 ? 43_000 : 20 + ((seq * 7919) % 900));

function append(window: ReplayWindow, count: number): void {
  for (let left = count; left > 0; left--) {
    const seq = window.lastSeq + 1;
    const bytes = frame(seq, sizeOf(seq));
    window.append(bytes.length, (target, offset) => bytes.copy(target, offset));
  }
}

function drain(reader: { take(maxBytes: number): { bytes: Buffer; release(): void } | undefined }, maxBytes = 100_000) {
  const pieces: Buffer[] = [];
  for (let view = reader.take(maxBytes); view !== undefined; view = reader.take(maxBytes)) {
    pieces.push(Buffer.from(view.bytes));
    view.release();
  }
  return Buffer.concat(pieces);
}

function expected(first: number, last: number): Buffer {
  const frames: Buffer[] = [];
  for (let seq = first; seq <= last; seq++) {
    frames.push(frame(seq, sizeOf(seq)));
  }
  return Buffer.concat(frames);
}

/** Empty for a descriptor that has been closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

test.each([1, 4_000, 64_000, 1_000_000])(
  'a replay of everything in pieces of %i bytes is what was written',
  async (piece) => {
    const { window, evicted } = open(100_000_000);
    append(window, 2_000);
    expect([window.firstSeq, evicted]).toEqual([1, []]);
    expect(window.spoolBytes + window.bytes).toBe(window.bytesEver);
    expect(window.bytes).toBeLessThanOrEqual(memoryBytes);
    const replay = new PinnedReplay(window, 1, window.lastSeq);
    expect(replay.bytesLeft).toBe(window.bytesEver);
    // Some of it is on its way to the file, and some is there.
    const first = replay.take(piece);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const rest = drain(replay, piece);
    expect(Buffer.concat([first?.bytes ?? Buffer.alloc(0), rest]).equals(expected(1, 2_000))).toBe(true);
    first?.release();
    window.letGo();
  },
);

test('a replay from the middle begins with exactly the frame that was asked for', () => {
  const { window } = open(100_000_000);
  append(window, 1_000);
  for (const first of [1, 2, 3, 8, 333, 700, 999, 1_000]) {
    const replay = new PinnedReplay(window, first, 1_000);
    const wanted = expected(first, 1_000);
    expect(replay.bytesLeft, String(first)).toBe(wanted.length);
    expect(drain(replay).equals(wanted), String(first)).toBe(true);
  }
  window.letGo();
});

test('a reader that falls out of memory goes on in the file, and is back in memory at its end', () => {
  const { window } = open(100_000_000);
  const cursor = window.cursor();
  append(window, 3_000);
  expect(cursor.bytesLeft).toBe(window.bytesEver);
  expect(drain(cursor).equals(expected(1, 3_000))).toBe(true);
  append(window, 5);
  expect(drain(cursor).equals(expected(3_001, 3_005))).toBe(true);
  expect(cursor.bytesLeft).toBe(0);
  window.letGo();
});

test('the limit holds, and the oldest frames go first', () => {
  const limit = 3_000_000;
  const { window, evicted } = open(limit);
  for (let count = 0; count < 100; count++) {
    append(window, 50);
    expect(window.spoolBytes).toBeLessThanOrEqual(limit);
  }
  expect(window.firstSeq).toBeGreaterThan(1);
  // Between three and four quarters of the limit are kept; what is counted as gone is what is before the first.
  expect(window.spoolBytes).toBeGreaterThan(limit / 2);
  expect(evicted.reduce((sum, { count }) => sum + count, 0)).toBe(window.firstSeq - 1);
  expect(evicted.at(-1)?.seq).toBe(window.firstSeq - 1);
  const replay = new PinnedReplay(window, 1, window.lastSeq);
  expect(drain(replay).equals(expected(window.firstSeq, window.lastSeq))).toBe(true);
  const cursor = window.cursor();
  cursor.moveToStart();
  expect(drain(cursor).equals(expected(window.firstSeq, window.lastSeq))).toBe(true);
  expect(cursor.bytesLeft).toBe(0);
  window.letGo();
});

test('what was promised stays readable, however much is written since; then its files are closed', async () => {
  const { window, openFiles } = open(2_000_000);
  append(window, 300);
  const last = window.lastSeq;
  const first = window.firstSeq;
  const replay = new PinnedReplay(window, first, last);
  append(window, 3_000);
  expect(window.firstSeq).toBeGreaterThan(last);
  expect(openFiles()).toBeGreaterThan(0);
  expect(drain(replay).equals(expected(first, last))).toBe(true);
  window.letGo();
  await waitUntil(() => openFiles() === 0, 'all files of the spool to be closed');
});

test('memory that is asked back goes to the file, and nothing is lost', () => {
  const { window, evicted } = open(100_000_000);
  append(window, 40);
  const given = window.shrink(1_000);
  expect(given).toBeGreaterThan(100_000);
  expect([window.firstSeq, evicted]).toEqual([1, []]);
  append(window, 40);
  window.shrink(0);
  append(window, 3);
  expect(drain(new PinnedReplay(window, 1, window.lastSeq)).equals(expected(1, 83))).toBe(true);
  window.letGo();
});

test('a disk that takes no more costs what was spooled, once, and the memory window goes on', async () => {
  const { window, evicted, failures } = open(100_000_000, (path) => {
    closeSync(openSync(path, 'wx+'));
    return openSync('/dev/full', 'r+');
  });
  append(window, 150);
  await waitUntil(() => failures.length > 0, 'the failure to be told');
  expect(failures[0]).toMatchObject({ code: 'ENOSPC' });
  append(window, 150);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(evicted.reduce((sum, { count }) => sum + count, 0)).toBe(window.firstSeq - 1);
  const first = window.firstSeq;
  expect(drain(new PinnedReplay(window, 1, window.lastSeq)).equals(expected(first, 300))).toBe(true);
  const cursor = window.cursor();
  cursor.moveToStart();
  expect(cursor.bytesLeft).toBe(window.bytesEver - window.bytesGone);
  window.letGo();
});

test('a file that cannot be read any more costs the frames in it', async () => {
  const { window, failures } = open(100_000_000);
  append(window, 1_500);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const held = window.spoolBytes;
  expect(held).toBeGreaterThan(0);
  window.spoolFailed(new Error('EIO'));
  expect([window.spoolBytes, failures]).toEqual([0, [new Error('EIO')]]);
  const first = window.firstSeq;
  expect(drain(new PinnedReplay(window, 1, window.lastSeq)).equals(expected(first, 1_500))).toBe(true);
  window.letGo();
});
