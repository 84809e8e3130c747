/** The log of a daemon: a new file each time, for its owner only (spec modes.md §6 step 3). */
import { constants, fchmodSync, openSync, renameSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Paths } from '../paths.ts';
import type { RunDirectories } from '../run-directories.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { exclusiveCreate, unlinkQuietly } from './plain-file.ts';

/** See `RunDirectories.openLog`. */
export function openLog(
  path: string,
  rotate: 'unlink' | 'rename',
  paths: Paths,
): ReturnType<RunDirectories['openLog']> {
  let directory: DirectoryHandle | undefined;
  try {
    directory = DirectoryHandle.openTrusted(dirname(path));
    const log = directory.at(basename(path));
    const failure = setAside(log, rotate);
    const fd = openSync(log, constants.O_WRONLY | constants.O_APPEND | exclusiveCreate, 0o600);
    giveFullMode(fd);
    return { fd, olderGone: failure === undefined ? undefined : `rename ${path}: ${paths.reason(failure)}` };
  } catch (error) {
    return { declined: `open ${path}: ${paths.reason(error)}` };
  } finally {
    directory?.close();
  }
}

/** The umask may have left even less than 0600. Where the file system knows no modes, the log serves all the same. */
function giveFullMode(fd: number): void {
  try {
    fchmodSync(fd, 0o600);
  } catch {
    // It was made with no more than 0600.
  }
}

/**
 * A log that cannot be moved away makes the exclusive create fail, which is the answer the caller needs. A folder under the
 * older name costs the older lines, not the log.
 * @returns why the rename failed
 */
function setAside(log: string, rotate: 'unlink' | 'rename'): unknown {
  let failure: unknown;
  if (rotate === 'rename') {
    try {
      renameSync(log, `${log}.old`);
      return undefined;
    } catch (error) {
      failure = (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : error;
    }
  }
  unlinkQuietly(log);
  return failure;
}
