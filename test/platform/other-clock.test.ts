/** A sandbox whose /proc counts the start of processes from another moment than its clock does. */
import { expect, test, vi } from 'vitest';
import { createPlatform } from '../../platform/posix/index.ts';
import { RunningChild } from './running-child.ts';

vi.mock('../../native-bindings/libc.ts', async (original) => ({
  ...(await original<object>()),
  // Always the same, so that no child seems to have started while it ticked.
  clock_gettime: (_clock: number, time: BigInt64Array) => {
    time.set([3600n, 0n]);
    return 0;
  },
}));

test('the start time of a child is what /proc shows of it, also where the clock says something else', () => {
  const platform = createPlatform();
  const children = Array.from({ length: 3 }, () => new RunningChild(platform, { command: 'cat' }).child);
  const shown = children.map(({ pid }) => platform.processes.startSeconds(pid));
  expect(shown.every((seconds) => seconds > 1e9)).toBe(true);
  expect(children.map(({ startTime }) => startTime)).toEqual(shown);
  const records = children.map(({ pid }) => platform.childMarkers?.startOf(pid));
  expect(children.map(({ start }) => start)).toEqual(records);
});
