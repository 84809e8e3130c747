/** Does all of some work in steps (wire/steps.ts), without an interruption. */
export function atOnce<T>(steps: Iterator<undefined, T, undefined>): T {
  let step = steps.next();
  while (step.done !== true) {
    step = steps.next();
  }
  return step.value;
}
