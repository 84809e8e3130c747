/** Path spelling and Windows' words for errors (spec files.md §2). */
import { statSync } from 'node:fs';
import { win32 } from 'node:path';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { home } from './home.ts';
import { reasonForErrno, sentenceOf, WindowsError } from './system-errors.ts';

const errorPathNotFound = 3;

export function createPaths(): Paths {
  return {
    separator: '\\',
    programSuffix: '.exe',
    clean,
    directoryOf: (path) => clean(win32.dirname(path)),
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
    // `win32.isAbsolute` takes `\\dir` too, which counts from the drive of the moment.
    isAbsolute: (path) => rootOf(path).length > 1 && win32.isAbsolute(path),
    isRoot: (cleaned) => cleaned === rootOf(cleaned) && win32.isAbsolute(cleaned) && cleaned.length > 1,
    isWithin(path, folder) {
      const [inner, outer] = [path.toLowerCase(), folder.toLowerCase()];
      return inner === outer || inner.startsWith(outer.endsWith('\\') ? outer : `${outer}\\`);
    },
    reasonForCode: reasonForErrno,
    reason,
  };
}

function rootOf(path: string): string {
  return win32.parse(path).root;
}

/** `win32.normalize` keeps a trailing separator; the contract's clean does not, except for a root. */
function clean(path: string): string {
  const normal = win32.normalize(path);
  const { root } = win32.parse(normal);
  return normal.length > root.length && normal.endsWith('\\') ? normal.slice(0, -1) : normal;
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
