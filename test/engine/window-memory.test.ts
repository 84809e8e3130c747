/** What a replay window costs (spec process.md §9). A file, and so a process, of its own: nothing else moves the figures. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { Cursor } from '../../src/engine/local/cursor.ts';
import { PinnedReplay } from '../../src/engine/local/pinned-replay.ts';
import { ReplayWindow } from '../../src/engine/local/replay-window.ts';
import { waitUntil } from '../support/wait.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const limit = 8 << 20;
/** Slabs that are partly used, and the two that are kept ready. */
const slack = 3 << 20;
const frame = 43_763;
const perWindow = Math.floor(limit / frame);

function bufferBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

/** Freed memory leaves the books a little after the collection, on a thread of its own. */
function untilBelow(bytes: number): Promise<true> {
  return waitUntil(() => bufferBytes() < bytes, `the buffers to be less than ${bytes} bytes, not ${bufferBytes()}`);
}

function newWindow(): ReplayWindow {
  return new ReplayWindow(limit, { onEvict: () => {} });
}

function append(window: ReplayWindow, size: number): void {
  window.append(size, (target, offset, seq) => {
    target.fill(seq & 0xff, offset, offset + size);
  });
}

function drain(reader: Cursor | PinnedReplay): number {
  let bytes = 0;
  for (let view = reader.take(1 << 20); view !== undefined; view = reader.take(1 << 20)) {
    bytes += view.bytes.length;
    view.release();
  }
  return bytes;
}

test('memory of dropped frames is let go, however much a process writes', async () => {
  const before = bufferBytes();
  const window = newWindow();
  const cursor = window.cursor();
  for (let count = 0; count < perWindow * 8; count++) {
    append(window, frame);
    drain(cursor);
  }
  await untilBelow(before + limit + slack);
  expect(window.bytes).toBeGreaterThan(limit - frame);
});

test('an old promise costs one window, and nothing once it is kept', async () => {
  const before = bufferBytes();
  const window = newWindow();
  for (let count = 0; count < perWindow; count++) {
    append(window, frame);
  }
  const promised = new PinnedReplay(window, 1, window.lastSeq);
  const left = promised.bytesLeft;
  for (let count = 0; count < perWindow * 6; count++) {
    append(window, frame);
  }
  await untilBelow(before + 2 * (limit + slack));
  expect(promised.bytesLeft).toBe(left);
  expect(drain(promised)).toBe(left);
  await untilBelow(before + limit + slack);
  expect(window.bytes).toBeGreaterThan(limit - frame);
});

test('an old promise holds nothing of what was written since, whatever the size of the frames', async () => {
  const before = bufferBytes();
  const window = newWindow();
  append(window, 600_000);
  const promised = new PinnedReplay(window, 1, 1);
  for (let count = 0; count < 100; count++) {
    append(window, 600_000);
  }
  await untilBelow(before + limit + slack);
  expect(drain(promised)).toBe(600_000);
});

test('a dropped promise lets its memory go', async () => {
  const before = bufferBytes();
  const window = newWindow();
  const promises: PinnedReplay[] = [];
  for (let round = 0; round < 3; round++) {
    for (let count = 0; count < perWindow; count++) {
      append(window, frame);
    }
    promises.push(new PinnedReplay(window, 1, window.lastSeq));
  }
  for (let count = 0; count < perWindow; count++) {
    append(window, frame);
  }
  for (const promised of promises) {
    promised.drop();
  }
  await untilBelow(before + limit + slack);
  expect(promises.map(({ bytesLeft }) => bytesLeft)).toEqual([0, 0, 0]);
});

test('a process that says little costs little', async () => {
  const before = bufferBytes();
  const windows = Array.from({ length: 50 }, newWindow);
  for (const window of windows) {
    append(window, 100);
  }
  await untilBelow(before + 50 * 8192);
  expect(windows.length).toBe(50);
});
