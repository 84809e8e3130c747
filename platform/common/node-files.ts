/** What Node does alike on every system with folders and entries, in the contract's words (spec files.md §2). */
import fs, { type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { SystemCallError } from '../errors.ts';
import type { FileKind } from '../files.ts';
import type { Paths } from '../paths.ts';
import { as } from './file-error.ts';

/** Makes a folder, 0700. @throws SystemCallError `mkdir <path>: <reason>` */
export async function createFolder(paths: Paths, path: string): Promise<void> {
  await as(paths, 'mkdir', path, () => fs.promises.mkdir(path, { mode: 0o700 }));
}

/**
 * Creates the missing ones among a folder and its parents; links in them are followed, as in any path.
 * @throws SystemCallError `mkdir <path>: <reason>`, also naming a parent
 */
export async function createParents(paths: Paths, path: string): Promise<void> {
  const found = await fs.promises.stat(path).catch(() => undefined);
  if (found?.isDirectory()) {
    return;
  }
  const parent = dirname(path);
  if (found !== undefined || parent === path) {
    throw new SystemCallError(`mkdir ${path}: ${paths.reasonForCode('ENOTDIR')}`, 'ENOTDIR');
  }
  await createParents(paths, parent);
  try {
    await createFolder(paths, path);
  } catch (error) {
    // Somebody else may have made it meanwhile.
    const meanwhile = await fs.promises.stat(path).catch(() => undefined);
    if (!meanwhile?.isDirectory()) {
      throw error;
    }
  }
}

/**
 * Removes a file, a link or an empty folder. The failure that is reported is that of unlink: Linux says EISDIR for a folder,
 * macOS EPERM, and what rmdir says of anything else is of no use.
 * @throws Node's error
 */
export async function unlinkOrRmdir(path: string): Promise<void> {
  try {
    await fs.promises.unlink(path);
  } catch (refusal) {
    const removed = await fs.promises.rmdir(path).then(
      () => true,
      () => false,
    );
    if (!removed) {
      throw refusal;
    }
  }
}

/** What was found, in the wire's words; Windows has neither sockets nor block devices among its files. */
export function kindOf(found: Stats): FileKind {
  if (found.isFile()) {
    return 'file';
  }
  if (found.isDirectory()) {
    return 'directory';
  }
  if (found.isSymbolicLink()) {
    return 'link';
  }
  if (found.isFIFO()) {
    return 'fifo';
  }
  if (found.isSocket()) {
    return 'socket';
  }
  if (found.isBlockDevice()) {
    return 'blockDevice';
  }
  return found.isCharacterDevice() ? 'characterDevice' : 'other';
}
