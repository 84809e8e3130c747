/** How long the fault tests run: short in every run of the suite, full length before a release and nightly. */

/** `HOLDFAST_FULL_FAULTS=1` repeats each fault as often and as long as docs/faults.md says for a full run. */
export const full = process.env.HOLDFAST_FULL_FAULTS === '1';

/** Picks a count, size or time by the length of this run. */
export function byLength<T>(short: T, whole: T): T {
  return full ? whole : short;
}

/** Time limit of one test: `seconds` in a short run, an hour in a full one. */
export function limitMs(seconds: number): number {
  return byLength(seconds, 3600) * 1000;
}
