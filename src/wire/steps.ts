/**
 * Work that can be interrupted, so that a long line holds nobody up: at each `yield` others may come first. `atOnce`
 * (platform/steps.ts) does all of it, `inTurns` (base/take-turns.ts) lets others in.
 */
export type Steps<T> = Generator<undefined, T, undefined>;
