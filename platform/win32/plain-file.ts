/** Files of the run directory: made for us alone, never through a link, removed only while they are still ours. */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { win32 } from 'node:path';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { attributesOf, opened, toDescriptor } from './handles.ts';
import { ownerOnly } from './security.ts';
import { lastError, WindowsError } from './system-errors.ts';

/** A file that is neither a folder nor a link nor a device. The descriptor owns the handle. */
export interface PlainFile {
  readonly fd: number;
  readonly handle: Handle;
}

export interface PlainFileOptions {
  /** GENERIC_… and other access rights. */
  readonly access: number;
  /** FILE_SHARE_…: what others may do meanwhile. */
  readonly share: number;
  /** CREATE_NEW, OPEN_EXISTING or OPEN_ALWAYS. */
  readonly disposition: number;
  /** SECURITY_ATTRIBUTES of a file that is made; `null`: what its folder passes on. Default: for us and nobody else. */
  readonly security?: Buffer | null;
}

const shareAll = kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE | kernel32.FILE_SHARE_DELETE;
/** Its errno name is ELOOP, which is what opening a link with O_NOFOLLOW gives elsewhere. */
const errorCannotResolve = 1921;

/** @throws WindowsError; a link, a folder or a device is refused */
export function openPlainFile(path: string, options: PlainFileOptions): PlainFile {
  const { access, share, disposition, security = ownerOnly() } = options;
  const handle = opened(
    kernel32.CreateFileW(
      win32.toNamespacedPath(path),
      access | kernel32.FILE_READ_ATTRIBUTES | kernel32.SYNCHRONIZE,
      share,
      security,
      disposition,
      kernel32.FILE_ATTRIBUTE_NORMAL | kernel32.FILE_FLAG_OPEN_REPARSE_POINT,
      null,
    ),
    'CreateFile',
  );
  try {
    const unusual = kernel32.FILE_ATTRIBUTE_DIRECTORY | kernel32.FILE_ATTRIBUTE_REPARSE_POINT;
    if ((attributesOf(handle) & unusual) !== 0) {
      throw new WindowsError('CreateFile', errorCannotResolve);
    }
  } catch (error) {
    kernel32.CloseHandle(handle);
    throw error;
  }
  return { fd: toDescriptor(handle), handle };
}

/** The first bytes of a file. */
export function readFirst(fd: number, maxBytes: number): Buffer {
  const buffer = Buffer.alloc(maxBytes);
  let length = 0;
  for (;;) {
    const count = readSync(fd, buffer, length, maxBytes - length, length);
    length += count;
    if (count === 0 || length === maxBytes) {
      return buffer.subarray(0, length);
    }
  }
}

/**
 * What makes a file "still ours": the volume's number for it and its content. Numbers alone are not reliable on every
 * file system, content alone could have been copied (spec platform.md §3 "Files, paths, environment").
 */
export class FileIdentity {
  readonly #number: string;
  readonly #content: Buffer;

  constructor(fd: number, content: Buffer) {
    this.#number = fileNumber(fd);
    this.#content = content;
  }

  /** Removes `path` only while it is still this file: what was compared is what is removed, by its open handle. */
  removeAt(path: string): void {
    let file: PlainFile;
    try {
      file = openPlainFile(path, {
        access: kernel32.GENERIC_READ | kernel32.DELETE,
        share: shareAll,
        disposition: kernel32.OPEN_EXISTING,
      });
    } catch {
      // Gone already, or no longer a plain file: nothing of ours is left.
      return;
    }
    try {
      if (this.#is(file.fd)) {
        markForRemoval(file.handle);
      }
    } finally {
      closeSync(file.fd);
    }
  }

  #is(fd: number): boolean {
    return fileNumber(fd) === this.#number && readFirst(fd, this.#content.length + 1).equals(this.#content);
  }
}

function fileNumber(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}

/** The file goes when its last handle is closed. @throws WindowsError */
function markForRemoval(handle: Handle): void {
  const remove = Buffer.from([1]);
  if (!kernel32.SetFileInformationByHandle(handle, kernel32.FileDispositionInfo, remove, remove.length)) {
    throw lastError('SetFileInformationByHandle');
  }
}
