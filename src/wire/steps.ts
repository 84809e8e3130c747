/** Work that can be interrupted, so that a long line holds nobody up: at each `yield` others may come first. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Does all of it without an interruption. */
export function atOnce<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (step.done !== true) {
    step = steps.next();
  }
  return step.value;
}
