import type { FailureCode } from './instruction-log.ts';

/** An instruction that is not carried out. `message` is for the server and for the log. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: FailureCode;

  constructor(code: FailureCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
