/** Exit codes of the verbs (spec operators.md); `run` has those of a shell (run/exit-codes.ts). */

export const exitOk = 0;
export const exitFailed = 1;
export const exitUsage = 2;
/** Nothing found, or not running. */
export const exitNone = 3;
/** An identity check or a guard has refused. */
export const exitRefused = 4;
/** Some of it was done, or something is left. */
export const exitPartly = 5;
