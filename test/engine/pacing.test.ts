/** When a program is held back for its receiver, and when not (spec wire.md §2 "steady reader"). */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Pacing, pauseAboveBytes, resumeBelowBytes, shortOfMemory } from '../../src/engine/local/pacing.ts';

const stallMs = 10_000;

/** A program and its receiver, both played by the test. */
function scene(mode: 'pace' | 'drop' = 'pace') {
  const told: string[] = [];
  const memory = { isShort: false };
  const receiver = { liveBytes: 0, taken: 0, reader: { progress: () => receiver.taken } };
  const pacing = new Pacing({
    mode,
    readerStallMs: stallMs,
    isShortOfMemory: () => memory.isShort,
    onPause: () => told.push('paused'),
    onResume: (pausedMs, why) => told.push(`${why} after ${Math.round(pausedMs / 1000)} s`),
  });
  pacing.receivedBy(receiver);
  return {
    pacing,
    memory,
    receiver,
    told,
    /** So many bytes wait for the receiver after the program has written. @returns whether its pipes are read on */
    writes(waiting: number): boolean {
      receiver.liveBytes = waiting;
      return pacing.written();
    },
    takes(waiting: number): void {
      receiver.taken++;
      receiver.liveBytes = waiting;
      pacing.taken();
    },
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a receiver that falls behind', () => {
  test('holds its program back sooner while the memory budget is reached, and no longer than that', () => {
    const { writes, takes, memory, told } = scene();
    expect(writes(shortOfMemory.pauseAboveBytes + 1)).toBe(true);
    memory.isShort = true;
    expect(writes(shortOfMemory.pauseAboveBytes + 1)).toBe(false);
    takes(shortOfMemory.resumeBelowBytes);
    expect(told).toEqual(['paused']);
    takes(shortOfMemory.resumeBelowBytes - 1);
    expect(told).toEqual(['paused', 'caughtUp after 0 s']);
    expect(writes(shortOfMemory.pauseAboveBytes + 1)).toBe(false);
    memory.isShort = false;
    takes(shortOfMemory.pauseAboveBytes);
    expect(writes(pauseAboveBytes)).toBe(true);
  });

  test('holds its program back above one limit, and lets it go on below another', () => {
    const { writes, takes, told } = scene();
    expect(writes(pauseAboveBytes)).toBe(true);
    expect(writes(pauseAboveBytes + 1)).toBe(false);
    takes(resumeBelowBytes);
    expect(told).toEqual(['paused']);
    takes(resumeBelowBytes - 1);
    expect(told).toEqual(['paused', 'caughtUp after 0 s']);
    expect(writes(resumeBelowBytes)).toBe(true);
  });

  test('holds it back for as long as it takes a byte now and then', () => {
    const { writes, receiver, pacing, told } = scene();
    writes(pauseAboveBytes + 1);
    for (let minute = 0; minute < 60; minute++) {
      for (let nap = 0; nap < 60_000; nap += stallMs - 2000) {
        vi.advanceTimersByTime(stallMs - 2000);
        receiver.taken++;
      }
    }
    expect([pacing.paused, told]).toEqual([true, ['paused']]);
  });

  test('does not hold it back when nobody asked for that', () => {
    const { writes, told } = scene('drop');
    expect([writes(10 * pauseAboveBytes), told]).toEqual([true, []]);
  });
});

describe('a receiver that takes nothing', () => {
  test('holds its program back for the limit, and then no longer', () => {
    const { writes, told, pacing } = scene();
    writes(pauseAboveBytes + 1);
    vi.advanceTimersByTime(stallMs - 1000);
    expect(pacing.paused).toBe(true);
    vi.advanceTimersByTime(2000);
    expect(told).toEqual(['paused', 'stalled after 10 s']);
    expect(writes(10 * pauseAboveBytes)).toBe(true);
  });

  test('does not hold it back again before it has caught up', () => {
    const { writes, takes, told } = scene();
    writes(pauseAboveBytes + 1);
    vi.advanceTimersByTime(2 * stallMs);
    takes(pauseAboveBytes + 5);
    expect(writes(pauseAboveBytes + 5)).toBe(true);
    takes(resumeBelowBytes - 1);
    expect(writes(pauseAboveBytes + 1)).toBe(false);
    expect(told).toEqual(['paused', 'stalled after 10 s', 'paused']);
  });
});

describe('a program that is held back goes on', () => {
  test('when its receiver has gone', () => {
    const { writes, pacing, told } = scene();
    writes(pauseAboveBytes + 1);
    vi.advanceTimersByTime(3000);
    pacing.receivedBy(undefined);
    expect(told).toEqual(['paused', 'over after 3 s']);
    expect(writes(10 * pauseAboveBytes)).toBe(true);
    vi.advanceTimersByTime(10 * stallMs);
    expect(told).toHaveLength(2);
  });

  test('when it is asked to end, until its receiver has caught up', () => {
    const { writes, takes, pacing, told } = scene();
    writes(pauseAboveBytes + 1);
    pacing.suspend();
    expect(writes(2 * pauseAboveBytes)).toBe(true);
    takes(resumeBelowBytes - 1);
    expect(writes(pauseAboveBytes + 1)).toBe(false);
    expect(told).toEqual(['paused', 'over after 0 s', 'paused']);
  });

  test('when it has ended, and is not held back any more', () => {
    const { writes, pacing, told } = scene();
    writes(pauseAboveBytes + 1);
    pacing.end();
    expect(writes(2 * pauseAboveBytes)).toBe(true);
    expect(told).toEqual(['paused', 'over after 0 s']);
  });
});
