/** How much of a process's output is taken in a row, and when it leaves (src/engine/local/fair-share.ts, session.ts). Counted, not timed. */
import { afterEach, expect, test, vi } from 'vitest';
import type { Child } from '../../platform/processes.ts';
import { createCounters } from '../../src/base/counters.ts';
import { createLog } from '../../src/base/log.ts';
import { MemoryBudget } from '../../src/base/memory-budget.ts';
import { timings } from '../../src/base/timings.ts';
import { FairShare } from '../../src/engine/local/fair-share.ts';
import { Session } from '../../src/engine/local/session.ts';
import type { Reader } from '../../src/engine/session-engine.ts';
import { maxFrameData } from '../../src/wire/frames.ts';
import { defaultProfile } from '../../src/wire/profiles.ts';

/** A session whose child is played by the test. */
function begin(share: FairShare) {
  const log = createLog({ level: 'error' });
  const counters = createCounters();
  const session = new Session(
    { id: 'p', key: undefined, command: 'p', args: [], cwd: undefined, door: undefined, launcher: undefined },
    {
      ...{ profile: defaultProfile, log, counters, timings, share, slowReader: 'pace' },
      budget: new MemoryBudget({ limitBytes: 0, log, counters }),
    },
  );
  const resumed: string[] = [];
  session.began({ pid: 1, startTime: 0, resume: (stream: string) => resumed.push(stream) } as unknown as Child);
  return {
    session,
    resumed,
    /** As the adapter does: what fits into the buffer it was given. @returns whether to read on */
    output(bytes: number): boolean {
      const { length } = share.readBuffer();
      const size = Math.min(bytes, length);
      return session.events.onOutput('stdout', Buffer.alloc(size), size === length);
    },
  };
}

/** Full reads until the stream is told to wait. */
function readsInARow(output: (bytes: number) => boolean): number {
  let reads = 1;
  while (output(maxFrameData)) {
    reads++;
  }
  return reads;
}

afterEach(() => {
  vi.useRealTimers();
});

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test('a process that floods gives way after a few reads, and goes on in the next turn', async () => {
  const { output, resumed } = begin(new FairShare());
  expect(readsInARow(output)).toBe(4);
  expect(resumed).toEqual([]);
  await nextTurn();
  expect(resumed).toEqual(['stdout']);
  expect(readsInARow(output)).toBe(4);
});

test('while requests come it gives way after each read, and reads less at a time', async () => {
  // No time passes, however slow the machine is.
  vi.useFakeTimers({ toFake: ['performance'] });
  const share = new FairShare();
  const { output, session } = begin(share);
  expect(share.readBuffer()).toHaveLength(maxFrameData);
  share.requestCame();
  expect(readsInARow(output)).toBe(1);
  await nextTurn();
  share.requestCame();
  expect(readsInARow(output)).toBe(1);
  expect(session.info()).toMatchObject({ outBytes: (2 * maxFrameData) / 4, lastSeq: 2 });
});

test('once no requests come it reads as much as a frame may have', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const share = new FairShare();
  share.requestCame();
  expect(share.readBuffer()).toHaveLength(maxFrameData / 4);
  vi.advanceTimersByTime(60);
  expect(share.readBuffer()).toHaveLength(maxFrameData);
});

test('a process that writes less than a full read at a time is never told to wait', () => {
  const { output } = begin(new FairShare());
  for (let count = 0; count < 50; count++) {
    expect(output(maxFrameData - 1)).toBe(true);
  }
});

test('small output leaves at once; a full read may be followed by more and waits for the end of the turn', () => {
  const { session, output } = begin(new FairShare());
  const more: boolean[] = [];
  const reader: Reader = {
    attached: () => {},
    ready: (_, moreToCome) => more.push(moreToCome),
    fellBehind: () => {},
    replaced: () => {},
    over: () => {},
    unplaced: () => {},
    lost: () => {},
    progress: () => 0,
  };
  session.open(reader).mark.fill('reply');
  more.length = 0;
  output(5);
  output(maxFrameData);
  output(5);
  expect(more).toEqual([false, true, false]);
});
