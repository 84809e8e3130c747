/** What a daemon does as soon as it has nothing to do: it keeps its compiled code and gives memory back. */
import { flushCompileCache } from 'node:module';
import type { Host } from '../../platform/host.ts';
import { timings } from './timings.ts';

/**
 * A process that takes no more than this share of a processor counts as idle: pings and our own timers take that much. By
 * processor time, because on a busy machine the event loop is under way for as long as it waits for its turn.
 */
const idleShare = 0.02;

/** Gives memory back once each time the daemon becomes idle. */
export function trimWhenIdle(host: Host): void {
  const { trimMemory } = host;
  if (trimMemory === undefined) {
    return;
  }
  let last = consumption();
  let trimmed = false;
  setInterval(() => {
    const now = consumption();
    const busy = now.processorMs - last.processorMs > (now.at - last.at) * idleShare;
    last = now;
    if (!busy && !trimmed) {
      // The runtime writes its compile cache only when it ends by itself, and many daemons are killed. Not at the first time
      // alone: without what requests have loaded since, the next daemon would need the type stripper for it, which stays.
      flushCompileCache();
      trimMemory();
      // The time that trimming took must not count as being busy.
      last = consumption();
    }
    trimmed = !busy;
  }, timings.idleLookMs).unref();
}

/** Processor time of all threads so far, and when that was. */
function consumption(): { readonly processorMs: number; readonly at: number } {
  const { user, system } = process.cpuUsage();
  return { processorMs: (user + system) / 1000, at: performance.now() };
}
