/** Path spelling and Windows' words for errors (spec files.md §2). */
import { statSync } from 'node:fs';
import { win32 } from 'node:path';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { home } from './home.ts';
import { clean, directoryOf, hasPlainSpelling, isAbsolute, isRoot, isWithin } from './path-spelling.ts';
import { reasonForErrno, sentenceOf, WindowsError } from './system-errors.ts';

const errorPathNotFound = 3;

export function createPaths(): Paths {
  return {
    separator: '\\',
    programSuffix: '.exe',
    clean,
    directoryOf,
    isAbsolute,
    isRoot,
    hasPlainSpelling,
    isWithin,
    expandTilde(path) {
      const folder = home();
      if (folder === undefined) {
        return path;
      }
      if (path === '~') {
        return folder;
      }
      return path.startsWith('~/') ? clean(`${folder}\\${path.slice(2)}`) : path;
    },
    reasonForCode: reasonForErrno,
    reason,
  };
}

function reason(error: unknown): string {
  if (error instanceof WindowsError) {
    return sentenceOf(error.number);
  }
  if (error instanceof SystemCallError) {
    return error.cause instanceof WindowsError ? sentenceOf(error.cause.number) : reasonForErrno(error.code);
  }
  const { code, path } = (error ?? {}) as NodeJS.ErrnoException;
  // Node refuses a NUL byte before Windows sees it; the contract's daemon has its own word for it.
  if (code === 'ERR_INVALID_ARG_VALUE') {
    return reasonForErrno('EINVAL');
  }
  if (code === 'ENOENT' && path !== undefined) {
    return missing(path);
  }
  if (code !== undefined) {
    return reasonForErrno(code);
  }
  return error instanceof Error ? error.message : String(error);
}

/** Windows says whether the last element is missing or one before it; Node has one name for both. */
function missing(path: string): string {
  return isFolder(win32.dirname(path)) ? reasonForErrno('ENOENT') : sentenceOf(errorPathNotFound);
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
