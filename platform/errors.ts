/**
 * Errors for the log and for stderr. The other audience, the client on the wire, gets an `RpcError` (src/doors/rpc/errors.ts).
 */

/** Something the host refused: what went wrong with path, number and limit, and what to do about it. */
export class HostError extends Error {
  override readonly name = 'HostError';
  /** What the reader can do about it; empty when `message` says it all. */
  readonly remedy: string;

  constructor(message: string, remedy = '', options?: ErrorOptions) {
    super(message, options);
    this.remedy = remedy;
  }
}

/**
 * A failed system call in the contract's form `<operation> <path>: <reason>` (spec files.md §2).
 * `message` is wire text; `code` is the errno name, for decisions.
 */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';
  readonly code: string;

  constructor(message: string, code: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Whoever listens belongs to another user, and was sent nothing. The cause of a dial's `SystemCallError`. */
export class ForeignListenerError extends Error {
  override readonly name = 'ForeignListenerError';
  readonly code = 'EACCES';
}

/** Whether a dial failed because of {@link ForeignListenerError}. */
export function isForeignListener(error: unknown): boolean {
  return (error as Error | undefined)?.cause instanceof ForeignListenerError;
}
