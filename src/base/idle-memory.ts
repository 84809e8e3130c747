/** What a daemon does as soon as it has nothing to do: it keeps its compiled code and gives memory back. */
import { flushCompileCache } from 'node:module';
import type { Host } from '../../platform/host.ts';
import { timings } from './timings.ts';

/**
 * A process that is busy for no more than this share of the time counts as idle: pings and our own timers take that
 * much.
 */
const idleShare = 0.02;

/** Gives memory back once each time the daemon becomes idle. */
export function trimWhenIdle(host: Host): void {
  const { trimMemory } = host;
  if (trimMemory === undefined) {
    return;
  }
  let last = performance.eventLoopUtilization();
  let trimmed = false;
  let kept = false;
  setInterval(() => {
    const now = performance.eventLoopUtilization();
    const busy = performance.eventLoopUtilization(now, last).utilization > idleShare;
    last = now;
    if (!busy && !trimmed) {
      // The runtime writes its compile cache only when it ends by itself, and many daemons are killed.
      if (!kept) {
        flushCompileCache();
      }
      kept = true;
      trimMemory();
      // The time that trimming took must not count as being busy.
      last = performance.eventLoopUtilization();
    }
    trimmed = !busy;
  }, timings.idleLookMs).unref();
}
