/**
 * Failpoints: named places between two effects where a test makes this process fail, wait or die (after the rename and
 * before the folder is synced; after the bytes were applied and before the reply). In the product they do nothing: the
 * rules are test/support/failpoint-rules.ts, which the entry point of the tests installs here.
 */
export interface FailpointHook {
  /** Throws what the rule says; blocks the whole process while the rule says wait. */
  pass(point: string): void;
  /** The same, but only this call waits. */
  passWaiting(point: string): Promise<void>;
}

let hook: FailpointHook | undefined;

export function installFailpoints(installed: FailpointHook | undefined): void {
  hook = installed;
}

/** A place in code that cannot wait. @param point `<area>.<step>[.before|.after]`, unique in the program */
export function failpoint(point: string): void {
  hook?.pass(point);
}

/** A place in code that may wait. */
export async function failpointAsync(point: string): Promise<void> {
  if (hook !== undefined) {
    await hook.passWaiting(point);
  }
}
