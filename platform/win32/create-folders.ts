/** Making the folder of a socket path with its parents (spec modes.md §5). */
import { lstatSync } from 'node:fs';
import { win32 } from 'node:path';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { ownerOnly } from './security.ts';
import { lastError, type WindowsError } from './system-errors.ts';

/** Makes what is missing of a path, each folder for us alone; existing ones keep their rights. @throws WindowsError */
export function createFolders(path: string): void {
  const parent = win32.dirname(path);
  const failure = createFolder(path);
  if (failure?.number === kernel32.ERROR_PATH_NOT_FOUND && parent !== path) {
    createFolders(parent);
    const again = createFolder(path);
    if (again !== undefined) {
      throw again;
    }
  } else if (failure !== undefined) {
    throw failure;
  }
}

/** @returns why there is no such folder now, `undefined` when there is one */
function createFolder(path: string): WindowsError | undefined {
  if (kernel32.CreateDirectoryW(win32.toNamespacedPath(path), ownerOnly('folder'))) {
    return undefined;
  }
  const failure = lastError('CreateDirectory');
  // A drive's root is "access denied" and not "exists already".
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? undefined : failure;
}
