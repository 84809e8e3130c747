/** The run directory's lock: LockFileEx on a byte far behind the record, so that others can still read the record. */
import { closeSync } from 'node:fs';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { LockFile } from '../common/lock-file.ts';
import { readFirst } from '../common/read-first.ts';
import { type LockAttempt, maxLockRecordBytes, parseLockRecord } from '../lock.ts';
import { openPlainFile, type PlainFile } from './plain-file.ts';
import { lastError, WindowsError } from './system-errors.ts';
import { isHeldLock } from './turns.ts';

/** Upper half of the locked byte's offset: locks are mandatory here, and nothing is ever written there. */
const lockedOffsetHigh = 0x7fff_ffff;
const notThere: readonly number[] = [kernel32.ERROR_FILE_NOT_FOUND, kernel32.ERROR_PATH_NOT_FOUND];

/** See `RunDirectory.tryLock`. The system drops the lock with its holder. */
export function tryLock(path: string, options: { readonly create: boolean }): LockAttempt {
  let file: PlainFile;
  try {
    file = openPlainFile(path, {
      access: kernel32.GENERIC_READ | kernel32.GENERIC_WRITE,
      share: kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE,
      disposition: options.create ? kernel32.OPEN_ALWAYS : kernel32.OPEN_EXISTING,
    });
  } catch (error) {
    const missing = error instanceof WindowsError && notThere.includes(error.number);
    return { state: missing ? 'missing' : 'unreadable', reason: `open ${path}: ${(error as Error).message}` };
  }
  const overlapped = Buffer.alloc(kernel32.OVERLAPPED_BYTES);
  overlapped.writeUInt32LE(lockedOffsetHigh, kernel32.OVERLAPPED_OFFSET_HIGH);
  const how = kernel32.LOCKFILE_EXCLUSIVE_LOCK | kernel32.LOCKFILE_FAIL_IMMEDIATELY;
  if (kernel32.LockFileEx(file.handle, how, 0, 1, 0, overlapped)) {
    // Windows may give back the lock of a closed handle some time later; the next start would see it held.
    const unlock = () => void kernel32.UnlockFileEx(file.handle, 0, 1, 0, overlapped);
    return { state: 'taken', lock: new LockFile(file.fd, unlock) };
  }
  const failure = lastError('LockFileEx');
  try {
    if (!isHeldLock(failure.number)) {
      return { state: 'unsupported', reason: `${path}: ${failure.message}` };
    }
    return { state: 'held', record: parseLockRecord(readFirst(file.fd, maxLockRecordBytes).toString('utf8')) };
  } finally {
    closeSync(file.fd);
  }
}
