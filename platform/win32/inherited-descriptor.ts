/**
 * Handles that were handed to us beside the three standard ones: the status pipe of the launcher, and those a token is
 * read from; and how their numbers travel.
 */
import { readSync } from 'node:fs';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Out } from '../../native-bindings/out.ts';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
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
      const written: Out<number> = [0];
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
  const count: Out<number> = [0];
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

/** See `Host.reportStatus`. */
export function reportStatus(descriptor: string, report: string): void {
  const handle = parseHandle(descriptor);
  if (handle === undefined) {
    return;
  }
  try {
    writeAndClose(handle, Buffer.from(report));
  } catch {
    // The launcher is gone; nobody waits for the report.
  }
}

/** See `Host.readDescriptor`. */
export function readDescriptor(descriptor: string, maxBytes: number, paths: Paths): Buffer {
  const handle = parseHandle(descriptor);
  const buffer = Buffer.alloc(maxBytes);
  let length = 0;
  try {
    while (length < maxBytes) {
      const rest = buffer.subarray(length);
      const count = handle === undefined ? readDescriptorOnce(Number(descriptor), rest) : readSome(handle, rest);
      const newline = rest.subarray(0, count).includes(0x0a);
      length += count;
      if (count === 0 || newline) {
        break;
      }
    }
    return buffer.subarray(0, length);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new SystemCallError(`read descriptor ${descriptor}: ${paths.reason(error)}`, code ?? '', {
      cause: error,
    });
  } finally {
    if (handle !== undefined) {
      kernel32.CloseHandle(handle);
    }
  }
}

function readDescriptorOnce(fd: number, bytes: Buffer): number {
  try {
    return readSync(fd, bytes, 0, bytes.length, null);
  } catch (error) {
    // What Node makes of the end of a pipe.
    if ((error as NodeJS.ErrnoException).code === 'EOF') {
      return 0;
    }
    throw error;
  }
}
