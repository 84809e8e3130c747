/** What goes, and in which order, when the memory budget is reached (spec extensions.md §4 `memory-budget`). */
import type { Relief } from '../../base/memory-budget.ts';
import type { Session } from './session.ts';

/** What a window gives is whole slabs, so it is asked for a little more than is wanted. */
const moreBytes = 256 * 1024;

/** What a running process keeps of its window, whatever others need. */
export const leastWindowBytes = 1024 * 1024;

export interface Sessions {
  /** In the order in which they ended. */
  readonly ended: Iterable<Session>;
  readonly running: Iterable<Session>;
}

/**
 * Frames of ended processes go first: of those whose exit frame was seen, then of the others, the oldest end first. Then
 * the windows of running processes that nobody receives. The newest frame, which is the exit frame of an ended process, stays
 * in any case, and so do frames that a receiver still has to take, unless it has stopped reading.
 *
 * A running process with a receiver loses nothing for new work. It goes on writing, though, and where all this was not
 * enough its window must not grow for ever: the frames that its receiver has seen go too.
 * @param wanted bytes that are still wanted, asked after each step
 */
export function relieve({ ended, running }: Sessions, wanted: () => number, why: 'growth' | 'newWork'): Relief {
  const gave = { bytes: 0, ended: 0, running: 0 };

  function shrink(sessions: Iterable<Session>, kind: 'ended' | 'running', leastBytes: number): boolean {
    for (const session of sessions) {
      const bytesWanted = wanted();
      if (bytesWanted <= 0) {
        return true;
      }
      const bytes = session.giveBack(Math.max(leastBytes, session.window.bytes - bytesWanted - moreBytes));
      if (bytes > 0) {
        gave.bytes += bytes;
        gave[kind]++;
      }
    }
    return wanted() <= 0;
  }

  const endedNow = [...ended];
  const runningNow = [...running];
  const seen = endedNow.filter(({ readers }) => readers.exitSeen);
  const unseen = endedNow.filter(({ readers }) => !readers.exitSeen);
  const detached = runningNow.filter(({ readers }) => readers.receiver === undefined);
  const done = shrink(seen, 'ended', 0) || shrink(unseen, 'ended', 0) || shrink(detached, 'running', leastWindowBytes);
  if (!done && why === 'growth') {
    shrink(runningNow, 'running', leastWindowBytes);
  }
  return gave;
}
