/** Waiting for something that happened, never for time (the bound only turns a hang into a message). */
import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 4;
/** A look may be dear, such as one at every process; then it is not had again at once, so that others get to work. */
const pauseForEachLook = 2;
const longestPollMs = 50;
/** Patience of every wait of the test tools; generous, because CI machines stall. */
export const patienceMs = 20_000;

/**
 * Resolves with the first value of `look` that is neither `undefined` nor `false`.
 * @param what completes "waited 20000 ms for …"
 */
export async function waitUntil<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
  options: { readonly timeoutMs?: number } = {},
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? patienceMs;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const start = performance.now();
    const seen = await look();
    if (seen !== undefined && seen !== false) {
      return seen;
    }
    if (performance.now() > deadline) {
      throw new Error(`waited ${timeoutMs} ms for ${what}`);
    }
    const lookMs = performance.now() - start;
    await sleep(Math.min(Math.max(pollMs, pauseForEachLook * lookMs), longestPollMs));
  }
}
