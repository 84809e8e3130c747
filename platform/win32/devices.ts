/**
 * Devices and other things that no folder holds (`NUL`, `CON`, `COM1`, `\\.\C:`, named pipes), as `files.*` meets them (spec
 * generation-n2.md §8.1). Node would take most of these names for files of the current folder.
 */
import { statSync } from 'node:fs';
import { win32 } from 'node:path';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { FileKind } from '../files.ts';
import { opened } from './handles.ts';
import { endsInDeviceName, isDevicePath, mayBeRead } from './path-spelling.ts';
import { lastError } from './system-errors.ts';

/** A path that was given, as Windows reads it. */
export interface ReadPath {
  /** For calls of Node. */
  readonly path: string;
  /** It leads to no file in a folder: `kindOfDevice` tells more. */
  readonly isDevice: boolean;
}

/** Longest path in UTF-16 units, with its end. */
const longestPath = 32_768;

/**
 * The full path without what Windows drops (a dot or a space at an end), and the device that a reserved name stands for in
 * this version of Windows. Node reads a path otherwise: its prefix `\\?\` keeps Windows from doing all this.
 */
export function asWindowsReads(path: string): ReadPath {
  if (!mayBeRead(path)) {
    return { path, isDevice: isDevicePath(path) };
  }
  const buffer = Buffer.allocUnsafe(longestPath * 2);
  const units = kernel32.GetFullPathNameW(path, longestPath, buffer, null);
  if (units === 0 || units >= longestPath) {
    return { path, isDevice: false };
  }
  const full = buffer.toString('utf16le', 0, units * 2);
  if (!isDevicePath(full)) {
    return { path: full, isDevice: false };
  }
  // Older versions of Windows take `NUL.txt`, and `NUL` in a folder that is not there, for the device as well.
  const isDevice = endsInDeviceName(path) && (!/[\\/]/.test(path) || isFolder(win32.dirname(path)));
  return isDevice ? { path: full, isDevice } : { path, isDevice };
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * Opens the device to see what it is, and closes it again. Whoever serves a pipe can ask who we are, but cannot act as us.
 * @throws WindowsError; `message` begins with the call that failed, `CreateFile` or `GetFileInformationByHandle`
 */
export function kindOfDevice({ path }: ReadPath): FileKind {
  const handle = opened(
    kernel32.CreateFileW(
      path,
      kernel32.GENERIC_READ,
      kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE | kernel32.FILE_SHARE_DELETE,
      null,
      kernel32.OPEN_EXISTING,
      kernel32.SECURITY_SQOS_PRESENT | kernel32.SECURITY_IDENTIFICATION,
      null,
    ),
    'CreateFile',
  );
  try {
    return kindOf(handle);
  } finally {
    kernel32.CloseHandle(handle);
  }
}

/** @throws WindowsError */
function kindOf(handle: Handle): FileKind {
  switch (kernel32.GetFileType(handle)) {
    case kernel32.FILE_TYPE_CHAR:
      return 'characterDevice';
    case kernel32.FILE_TYPE_PIPE:
      return 'fifo';
    case kernel32.FILE_TYPE_DISK:
      // A disk or a volume is of this type too, and has none of the facts of a file.
      if (!kernel32.GetFileInformationByHandle(handle, Buffer.alloc(kernel32.BY_HANDLE_FILE_INFORMATION_BYTES))) {
        throw lastError('GetFileInformationByHandle');
      }
      return 'blockDevice';
    default:
      return 'other';
  }
}
