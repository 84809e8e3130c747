/** "Still the very same file": what must hold before anything is removed (design decision 8). */
import { closeSync, fstatSync } from 'node:fs';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { readFirst } from '../common/read-first.ts';
import { openPlainFile, type PlainFile } from './plain-file.ts';
import { lastError } from './system-errors.ts';

const shareAll = kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE | kernel32.FILE_SHARE_DELETE;

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
