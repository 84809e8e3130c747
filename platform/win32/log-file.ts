/** The log of a daemon: appended to where it cannot be moved away (spec modes.md §6 step 3). */
import { lstatSync, renameSync, unlinkSync } from 'node:fs';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Paths } from '../paths.ts';
import type { RunDirectories } from '../run-directories.ts';
import { openPlainFile } from './plain-file.ts';
import { WindowsError } from './system-errors.ts';

/** See `RunDirectories.openLog`. */
export function openLog(
  path: string,
  rotate: 'unlink' | 'rename',
  paths: Paths,
): ReturnType<RunDirectories['openLog']> {
  try {
    setAside(path, rotate);
    return { fd: openForAppend(path) };
  } catch (error) {
    return { declined: `open ${path}: ${paths.reason(error)}` };
  }
}

/** A log that cannot be moved away is appended to, whoever has it open (register D21 of spec platform.md §6). */
function setAside(log: string, rotate: 'unlink' | 'rename'): void {
  try {
    // Not through `openForAppend`: a folder or a link is left as it is, and refused there.
    if (!lstatSync(log).isFile()) {
      return;
    }
    if (rotate === 'rename') {
      renameSync(log, `${log}.old`);
    } else {
      unlinkSync(log);
    }
  } catch {
    // Missing, or open in another daemon.
  }
}

/** Without the right to delete for others: a second daemon of this folder must not take our log away. */
function openForAppend(path: string): number {
  const options = {
    access: kernel32.FILE_APPEND_DATA,
    share: kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE,
  };
  try {
    return openPlainFile(path, { ...options, disposition: kernel32.CREATE_NEW }).fd;
  } catch (error) {
    if (!(error instanceof WindowsError) || error.number !== kernel32.ERROR_FILE_EXISTS) {
      throw error;
    }
    return openPlainFile(path, { ...options, disposition: kernel32.OPEN_EXISTING }).fd;
  }
}
