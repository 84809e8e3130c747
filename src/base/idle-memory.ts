/** What a daemon does as soon as it has nothing to do: it keeps its compiled code and gives memory back. */
import { flushCompileCache } from 'node:module';
import { performance } from 'node:perf_hooks';
import type { Host } from '../../platform/host.ts';
import { timings } from './timings.ts';

/** The share of the time that counts as idle: a ping now and then, and our own looks. */
const idleShare = 0.02;

/** Once for each time the daemon becomes idle. */
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
      // The runtime itself does so at its end only, and many a daemon is killed.
      if (!kept) {
        flushCompileCache();
      }
      kept = true;
      trimMemory();
      // What the trimming itself took is not to count.
      last = performance.eventLoopUtilization();
    }
    trimmed = !busy;
  }, timings.idleLookMs).unref();
}
