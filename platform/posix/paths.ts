/** Path spelling and the C library's words for errors (spec files.md §2). */
import { constants } from 'node:os';
import { posix } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { home } from './home.ts';
import type { PosixSystem } from './system.ts';

const linux: Record<string, string> = {
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  ESRCH: 'no such process',
  EINTR: 'interrupted system call',
  EIO: 'input/output error',
  ENXIO: 'no such device or address',
  E2BIG: 'argument list too long',
  ENOEXEC: 'exec format error',
  EBADF: 'bad file descriptor',
  ECHILD: 'no child processes',
  EAGAIN: 'resource temporarily unavailable',
  ENOMEM: 'cannot allocate memory',
  EACCES: 'permission denied',
  EBUSY: 'device or resource busy',
  EEXIST: 'file exists',
  EXDEV: 'invalid cross-device link',
  ENODEV: 'no such device',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  EINVAL: 'invalid argument',
  ENFILE: 'too many open files in system',
  EMFILE: 'too many open files',
  ETXTBSY: 'text file busy',
  EFBIG: 'file too large',
  ENOSPC: 'no space left on device',
  ESPIPE: 'illegal seek',
  EROFS: 'read-only file system',
  EMLINK: 'too many links',
  EPIPE: 'broken pipe',
  ENAMETOOLONG: 'file name too long',
  ENOSYS: 'function not implemented',
  ENOTEMPTY: 'directory not empty',
  ELOOP: 'too many levels of symbolic links',
  EOVERFLOW: 'value too large for defined data type',
  ENOTSUP: 'operation not supported',
  EOPNOTSUPP: 'operation not supported',
  EADDRINUSE: 'address already in use',
  EADDRNOTAVAIL: 'cannot assign requested address',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by peer',
  ENOTSOCK: 'socket operation on non-socket',
  EPROTOTYPE: 'protocol wrong type for socket',
  ETIMEDOUT: 'connection timed out',
  ESTALE: 'stale file handle',
  EDQUOT: 'disk quota exceeded',
};

const darwin: Record<string, string> = {
  ...linux,
  ENXIO: 'device not configured',
  EBUSY: 'resource busy',
  EOPNOTSUPP: 'operation not supported on socket',
  EXDEV: 'cross-device link',
  ETIMEDOUT: 'operation timed out',
  EOVERFLOW: 'value too large to be stored in data type',
};

export function createPaths(os: PosixSystem): Paths {
  const texts = os === 'darwin' ? darwin : linux;
  const reasonForCode = (code: string): string => texts[code] ?? code;
  return {
    separator: '/',
    programSuffix: '',
    clean,
    directoryOf: (path) => clean(posix.dirname(path)),
    isAbsolute: (path) => path.startsWith('/'),
    isRoot: (cleaned) => cleaned === '/',
    hasPlainSpelling: () => true,
    isWithin: (path, folder) => path === folder || path.startsWith(folder === '/' ? folder : `${folder}/`),
    expandTilde(path) {
      const folder = home();
      if (folder === undefined) {
        return path;
      }
      if (path === '~') {
        return folder;
      }
      return path.startsWith('~/') ? clean(`${folder}/${path.slice(2)}`) : path;
    },
    reasonForCode,
    reason(error) {
      if (error instanceof SystemCallError) {
        return reasonForCode(error.code);
      }
      const code = (error as NodeJS.ErrnoException | undefined)?.code;
      // Node refuses a NUL byte before the kernel sees it; the contract has the kernel's word for it.
      if (code === 'ERR_INVALID_ARG_VALUE') {
        return reasonForCode('EINVAL');
      }
      if (isUnknown(code)) {
        return reasonForCode(errnoName(-((error as NodeJS.ErrnoException).errno ?? 0)));
      }
      if (code !== undefined) {
        return reasonForCode(code);
      }
      return error instanceof Error ? error.message : String(error);
    },
  };
}

/** `posix.normalize` keeps a trailing slash; the contract's clean does not. */
function clean(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

/** libuv has no name for some errors, EDQUOT and ESTALE among them, and says so in the place of the name. */
function isUnknown(code: string | undefined): boolean {
  return code === 'UNKNOWN' || code?.startsWith('Unknown system error') === true;
}

/** Name of an errno number, e.g. `ENOENT`. */
export function errnoName(number: number): string {
  const name = number > 0 ? getSystemErrorName(-number) : undefined;
  if (name !== undefined && !isUnknown(name)) {
    return name;
  }
  const known = Object.entries(constants.errno).find(([, value]) => value === number);
  return known?.[0] ?? `errno ${number}`;
}
