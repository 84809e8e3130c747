/** A refusal this door makes by itself: of a request, its params or what they ask for (spec wire.md §5, §6). */
import { type ErrorKind, errorCodes } from '../../wire/error-codes.ts';

/** `message` is wire text: it changes only together with its conformance case. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: number;

  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = errorCodes[kind];
  }
}
