/** What is told about something that was caught. */

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * For the log, of a failure that nobody foresaw: with the place in the code, unless the host has refused a call. Then Node's
 * text names the call and the reason already, and the fault is not ours.
 */
export function reportOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  return isRefusedCall(error) ? error.message : (error.stack ?? error.message);
}

/** A failed system call as Node.js reports it. */
export function isRefusedCall(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined;
}
