/**
 * How long the event loop of a daemon stood still at most, for the report of a whole suite (stall-report.ts). A turn is as long
 * as its processor time: on a busy machine a process also waits for the processor, which is no stall of its own.
 */
import { appendFileSync, existsSync } from 'node:fs';

const tickMs = 10;
/** Shorter ones are not worth a line. */
export const leastMs = 25;

export interface Stall {
  readonly pid: number;
  /** Processor time of the turn, and how late the timer came, in milliseconds. */
  readonly busyMs: number;
  readonly lateMs: number;
  /** The test that has started the daemon. */
  readonly test: string;
}

/** @param file gets a line of JSON for each stall that is longer than those before it */
export function watchStalls(file: string, test: string): void {
  let longest = leastMs;
  let lastAt = performance.now();
  let lastBusy = busyMs();
  const socket = process.argv[process.argv.indexOf('-socket') + 1] ?? '';
  let serves = false;
  setInterval(() => {
    const now = performance.now();
    const busy = busyMs();
    const stall: Stall = { pid: process.pid, busyMs: busy - lastBusy, lateMs: now - lastAt - tickMs, test };
    lastAt = now;
    lastBusy = busy;
    if (!serves) {
      // Until it listens it compiles and loads, and nobody waits for an answer.
      serves = existsSync(socket);
    } else if (Math.min(stall.busyMs, stall.lateMs) > longest) {
      longest = Math.min(stall.busyMs, stall.lateMs);
      try {
        appendFileSync(file, `${JSON.stringify(stall)}\n`);
      } catch {
        // A daemon of another user, or the report is over.
      }
    }
  }, tickMs).unref();
}

function busyMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
