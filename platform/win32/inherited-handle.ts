/** Handles a child inherits besides its three standard ones, and how their numbers travel. */
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { lastError, type WindowsError } from './system-errors.ts';

/** Tells a handle's number from a descriptor's. */
const prefix = 'handle:';

/** Text for the environment of the child. */
export function describeHandle(handle: Handle): string {
  return `${prefix}${handle}`;
}

/** The handle a text names; `undefined` for a plain descriptor number. */
export function parseHandle(text: string): Handle | undefined {
  return /^handle:\d{1,19}$/.test(text) ? (BigInt(text.slice(prefix.length)) as Handle) : undefined;
}

/** Writes all of `bytes` and closes the handle. @throws WindowsError; the handle is closed all the same */
export function writeAndClose(handle: Handle, bytes: Buffer): void {
  try {
    for (let at = 0; at < bytes.length; ) {
      const written = [0];
      const rest = bytes.subarray(at);
      if (!kernel32.WriteFile(handle, rest, rest.length, written, null)) {
        throw lastError('WriteFile');
      }
      at += written[0];
    }
  } finally {
    kernel32.CloseHandle(handle);
  }
}

/** Up to `bytes.length` bytes; 0 at the end. @throws WindowsError */
export function readSome(handle: Handle, bytes: Buffer): number {
  const count = [0];
  if (kernel32.ReadFile(handle, bytes, bytes.length, count, null)) {
    return count[0];
  }
  const failure = lastError('ReadFile');
  if (isEndOfPipe(failure)) {
    return 0;
  }
  throw failure;
}

function isEndOfPipe(failure: WindowsError): boolean {
  return failure.number === kernel32.ERROR_BROKEN_PIPE;
}
