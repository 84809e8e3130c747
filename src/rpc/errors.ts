/** Failures the client is told about (spec wire.md §6). For the log and stderr there is `HostError` in platform/errors.ts. */

export const errorCodes = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  unauthorized: -32001,
  stdinQueueFull: -32002,
  stdinOffsetGap: -32003,
} as const;

export type ErrorKind = keyof typeof errorCodes;

/** `message` is wire text: it changes only together with its conformance case. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: number;

  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = errorCodes[kind];
  }
}
