/** The run directory's lock: flock(2) on the file of its record, which the kernel drops with its holder. */
import { closeSync, constants, fchmodSync } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import { LockFile } from '../common/lock-file.ts';
import { readFirst } from '../common/read-first.ts';
import { type LockAttempt, maxLockRecordBytes, parseLockRecord } from '../lock.ts';
import { errnoName } from './paths.ts';
import { NotPlainFileError, openPlainFile } from './plain-file.ts';

/**
 * See `RunDirectory.tryLock`. It never throws: a lock that cannot be had is told by its state.
 * @param shown the path as messages have it
 */
export function tryLock(path: string, shown: string, options: { readonly create: boolean }): LockAttempt {
  let fd: number;
  try {
    fd = openPlainFile(path, constants.O_RDWR | (options.create ? constants.O_CREAT : 0));
  } catch (error) {
    if (error instanceof NotPlainFileError) {
      return { state: 'unreadable', reason: `${shown} is not a regular file` };
    }
    const { code } = error as NodeJS.ErrnoException;
    return { state: code === 'ENOENT' ? 'missing' : 'unreadable', reason: `open ${shown}: ${code}` };
  }
  if (libc.flock(fd, libc.LOCK_EX | libc.LOCK_NB) === 0) {
    return taken(fd, shown, options);
  }
  const failure = errnoName(libc.errno());
  try {
    return failure === 'EAGAIN' || failure === 'EWOULDBLOCK'
      ? { state: 'held', record: parseLockRecord(readFirst(fd, maxLockRecordBytes).toString('utf8')) }
      : { state: 'unsupported', reason: `flock ${shown}: ${failure}` };
  } finally {
    closeSync(fd);
  }
}

function taken(fd: number, shown: string, options: { readonly create: boolean }): LockAttempt {
  try {
    if (options.create) {
      fchmodSync(fd, 0o600);
    }
    return { state: 'taken', lock: new LockFile(fd) };
  } catch (error) {
    // The file of another user, or of a read-only file system: its mode is not ours to set.
    closeSync(fd);
    return { state: 'unreadable', reason: `chmod ${shown}: ${(error as NodeJS.ErrnoException).code}` };
  }
}
