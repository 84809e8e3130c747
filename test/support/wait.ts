/** Waiting for something that happened, never for time (the bound only turns a hang into a message). */
import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 4;
/** A look may be dear; then it is not had again at once, so that others get to work. */
const pauseForEachLook = 2;
/** The same for what of it was our own work, such as reading about every process: a tenth of a processor at most. */
const pauseForOwnWork = 9;
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
    const looking = look();
    const ownMs = performance.now() - start;
    const seen = await looking;
    if (seen !== undefined && seen !== false) {
      return seen;
    }
    if (performance.now() > deadline) {
      throw new Error(`waited ${timeoutMs} ms for ${what}`);
    }
    const lookMs = performance.now() - start;
    await sleep(Math.min(Math.max(pollMs, pauseForEachLook * lookMs, pauseForOwnWork * ownMs), longestPollMs));
  }
}
