/** When a wait is over, and when only what was to wake us has failed. Pure: Node's streams and timers, tested on every system. */
import type { Duplex } from 'node:stream';

const lookMs = 100;

/** What is waited for. */
export interface Watched {
  /** Takes the system's own wait back; nothing of it runs afterwards. */
  stopWaiting(): void;
  isSignalled(): boolean;
  /** The wake-up has failed before the object was signalled, so its far end is still ours to close. */
  closeFarEnd(): void;
}

/**
 * Calls back once, when the object is signalled. The end of `wake` says so, unless `wake` itself has failed: a process that
 * still runs must not be told as ended (its exit code would be 259, "still active"), so the object is asked each time.
 */
export function afterWake(wake: Duplex, watched: Watched, callback: () => void): void {
  wake.on('error', () => wake.destroy());
  wake.on('close', () => {
    watched.stopWaiting();
    if (watched.isSignalled()) {
      callback();
      return;
    }
    watched.closeFarEnd();
    lookNowAndThen(watched, callback);
  });
  wake.resume();
}

/** Where no pipe can be had to be woken by. */
function lookNowAndThen(watched: Watched, callback: () => void): void {
  const timer = setInterval(() => {
    if (watched.isSignalled()) {
      clearInterval(timer);
      callback();
    }
  }, lookMs);
}
