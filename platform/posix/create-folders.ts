/** Making the folder of a socket path with its parents (spec modes.md §5). */
import { statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { DirectoryHandle } from './directory-handle.ts';
import { makePrivateFolder } from './plain-file.ts';

/**
 * Makes what is missing of a path, each folder through its trusted parent held open, so that nobody's link leads us to
 * make one elsewhere. Not Node's `recursive`: that one tries for ever where a parent is there and yet nothing can be made
 * in it (/proc).
 * @throws HostError for a parent that others can redirect or write, or Node's error
 */
export function createFolders(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    return;
  }
  const parent = dirname(path);
  if (parent !== path) {
    createFolders(parent);
  }
  const above = DirectoryHandle.openTrusted(parent);
  try {
    makePrivateFolder(above.at(basename(path)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
    // Another start was faster, or something else stands there.
    if (statSync(path).isDirectory()) {
      return;
    }
    // What a bind in it would say, and mkdir with parents elsewhere.
    throw Object.assign(new Error(`${path} is not a folder`, { cause: error }), { code: 'ENOTDIR' });
  } finally {
    above.close();
  }
}
