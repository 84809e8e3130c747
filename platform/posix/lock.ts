/** The run directory's lock: flock(2) on the file of its record, which the kernel drops with its holder. */
import { constants, fchmodSync, fstatSync, lstatSync, type Stats } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import { LockFile } from '../common/lock-file.ts';
import { readFirst } from '../common/read-first.ts';
import { type LockAttempt, maxLockRecordBytes, parseLockRecord } from '../lock.ts';
import { closeQuietly } from './descriptors.ts';
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
    const foreign = code === 'EACCES' ? foreignOwner(lstatSync(path, { throwIfNoEntry: false }), shown) : undefined;
    if (foreign !== undefined) {
      return foreign;
    }
    return { state: code === 'ENOENT' ? 'missing' : 'unreadable', reason: `open ${shown}: ${code}` };
  }
  const foreign = foreignOwner(fstatSync(fd), shown);
  if (foreign !== undefined) {
    closeQuietly(fd);
    return foreign;
  }
  if (libc.flock(fd, libc.LOCK_EX | libc.LOCK_NB) === 0) {
    return taken(fd, shown, options);
  }
  const failure = errnoName(libc.errno());
  try {
    return isHeldElsewhere(failure)
      ? { state: 'held', record: parseLockRecord(readFirst(fd, maxLockRecordBytes).toString('utf8')) }
      : { state: 'unsupported', reason: `flock ${shown}: ${failure}` };
  } catch (error) {
    return { state: 'unreadable', reason: `read ${shown}: ${(error as NodeJS.ErrnoException).code}` };
  } finally {
    closeQuietly(fd);
  }
}

/** What `flock` says of a lock that somebody else has. Any other error means that there is no locking here. */
export function isHeldElsewhere(failure: string): boolean {
  return failure === 'EAGAIN' || failure === 'EWOULDBLOCK' || failure === 'EINTR';
}

/** @returns `undefined` for a file that is ours, or is not there */
function foreignOwner(found: Stats | undefined, shown: string): LockAttempt | undefined {
  const own = process.geteuid?.();
  return found === undefined || own === undefined || found.uid === own
    ? undefined
    : {
        state: 'foreign',
        reason: `${shown} belongs to user ${found.uid}, not to user ${own}, and is not used; remove it`,
      };
}

function taken(fd: number, shown: string, options: { readonly create: boolean }): LockAttempt {
  try {
    if (options.create) {
      fchmodSync(fd, 0o600);
    }
    return { state: 'taken', lock: new LockFile(fd) };
  } catch (error) {
    // A file system that is read-only, or that knows no modes.
    closeQuietly(fd);
    return { state: 'unreadable', reason: `chmod ${shown}: ${(error as NodeJS.ErrnoException).code}` };
  }
}
