/** Descriptors that were handed to us: the status pipe of the launcher, and those a token is read from. */
import { readSync, writeSync } from 'node:fs';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { closeQuietly, isNotInherited } from './descriptors.ts';

const retryReadMs = 5;

/** See `Host.reportStatus`. */
export function reportStatus(descriptor: string, report: string): void {
  const fd = Number(descriptor);
  try {
    writeSync(fd, report);
  } catch {
    // The launcher is gone; nobody waits for the report.
  }
  // Its end tells a launcher that could not be given the report that there is none.
  closeQuietly(fd);
}

/** See `Host.readDescriptor`. */
export function readDescriptor(descriptor: string, maxBytes: number, paths: Paths): Buffer {
  const fd = Number(descriptor);
  if (isNotInherited(fd)) {
    throw readFailure(fd, Object.assign(new Error('not inherited'), { code: 'EBADF' }), paths);
  }
  const buffer = Buffer.alloc(maxBytes);
  let length = 0;
  while (length < maxBytes) {
    const count = readRetrying(fd, buffer, length, paths);
    const newline = buffer.subarray(length, length + count).indexOf(0x0a);
    length += count;
    if (count === 0 || newline >= 0) {
      break;
    }
  }
  return buffer.subarray(0, length);
}

function readFailure(fd: number, error: unknown, paths: Paths): SystemCallError {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return new SystemCallError(`read descriptor ${fd}: ${paths.reason(error)}`, code, { cause: error });
}

/** sshd may hand us a non-blocking stdin; there is nothing else to do while the token is on its way, so wait in place. */
function readRetrying(fd: number, buffer: Buffer, at: number, paths: Paths): number {
  for (;;) {
    try {
      return readSync(fd, buffer, at, buffer.length - at, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EOF') {
        return 0;
      }
      if (code !== 'EAGAIN') {
        throw readFailure(fd, error, paths);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryReadMs);
    }
  }
}
