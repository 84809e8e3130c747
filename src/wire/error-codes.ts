/** Codes of error replies (spec wire.md §6). */
export const errorCodes = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  unauthorized: -32001,
  stdinQueueFull: -32002,
  stdinOffsetGap: -32003,
  launcherUnusable: -32004,
  launcherNotStarted: -32005,
} as const;

export type ErrorKind = keyof typeof errorCodes;
