/**
 * A folder held open without the right to delete it: nobody can rename or replace it, or a folder above it, while we
 * work in it.
 */
import { win32 } from 'node:path';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { entryKindOf, opened } from './handles.ts';
import { WindowsError } from './system-errors.ts';
import { assertOwner } from './trust.ts';

/** What to do about a folder of another user. */
const remedy = 'choose a -socket path below a folder of your own';

export class DirectoryHandle {
  readonly path: string;
  readonly #handle: Handle;
  #open = true;

  private constructor(path: string, handle: Handle) {
    this.path = path;
    this.#handle = handle;
  }

  /**
   * Opens a real folder; a link to one counts as none.
   * @throws WindowsError when it is missing or no folder
   */
  static open(path: string): DirectoryHandle {
    const absolute = win32.resolve(path);
    return new DirectoryHandle(absolute, openFolder(absolute, kernel32.FILE_FLAG_OPEN_REPARSE_POINT));
  }

  /** Opens a folder that is ours; a link is followed. @throws HostError when it belongs to another user, or as `open` */
  static openTrusted(path: string): DirectoryHandle {
    const absolute = win32.resolve(path);
    const handle = openFolder(absolute, 0);
    try {
      assertOwner(absolute, handle, remedy);
      return new DirectoryHandle(absolute, handle);
    } catch (error) {
      kernel32.CloseHandle(handle);
      throw error;
    }
  }

  at(name: string): string {
    return win32.join(this.path, name);
  }

  close(): void {
    if (!this.#open) {
      return;
    }
    this.#open = false;
    kernel32.CloseHandle(this.#handle);
  }
}

const errorNoDirectory = 267;

function openFolder(absolute: string, flags: number): Handle {
  const handle = opened(
    kernel32.CreateFileW(
      win32.toNamespacedPath(absolute),
      kernel32.FILE_LIST_DIRECTORY | kernel32.FILE_READ_ATTRIBUTES | kernel32.READ_CONTROL,
      kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE,
      null,
      kernel32.OPEN_EXISTING,
      kernel32.FILE_FLAG_BACKUP_SEMANTICS | flags,
      null,
    ),
    'CreateFile',
  );
  try {
    const { isFolder, isLink } = entryKindOf(handle);
    if (isFolder && !isLink) {
      return handle;
    }
    throw new WindowsError('CreateFile', errorNoDirectory);
  } catch (error) {
    kernel32.CloseHandle(handle);
    throw error;
  }
}
