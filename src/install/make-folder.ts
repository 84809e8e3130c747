/** The folder of the versions: made, and cleared of a file in its place (spec install.md §3 step 4, §8). */
import { chmod, lstat, mkdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemCallError } from '../../platform/errors.ts';
import type { Paths } from '../../platform/paths.ts';
import { InstallFailure } from './failure.ts';
import { isMissing, systemCall } from './system-call.ts';

/** The folder cannot be made, so the CLI has no path either. */
export class FolderFailure extends InstallFailure {}

/** A record that another program keeps beside the folder; it describes what is being cleared away. */
const versionRecord = 'ccd-cli-version';

/** Creates the folder and its missing parents, 0700; existing ones keep their mode. @throws FolderFailure */
export async function makeFolder(path: string, paths: Paths): Promise<void> {
  try {
    await makeChain(path, paths);
  } catch (error) {
    throw new FolderFailure(`mkdir cli dir: ${(error as Error).message}`, { cause: error });
  }
}

/** Works as Go's MkdirAll, because its texts, and which path they name, are contract. */
async function makeChain(path: string, paths: Paths): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined) {
    if (found.isDirectory()) {
      return;
    }
    throw new SystemCallError(`mkdir ${path}: ${paths.reasonForCode('ENOTDIR')}`, 'ENOTDIR');
  }
  const parent = paths.directoryOf(path);
  if (parent !== path && !paths.isRoot(parent)) {
    await makeChain(parent, paths);
  }
  try {
    await systemCall(paths, 'mkdir', path, () => mkdir(path, 0o700));
    // A umask that leaves the owner nothing would keep us out of our own folder.
    await chmod(path, 0o700).catch(() => {});
  } catch (error) {
    // Another process may have made the folder meanwhile. A link that leads nowhere is no folder.
    const now = await lstat(path).catch(() => undefined);
    if (now?.isDirectory() !== true) {
      throw error;
    }
  }
}

/**
 * Removes what stands in the folder's place: a regular file, a link to one, a FIFO. A failure shows when the folder is made.
 * Other things, and links to folders, are left alone.
 */
export async function clearFolderPlace(path: string, paths: Paths): Promise<void> {
  if (!(await isFileInPlace(path))) {
    return;
  }
  try {
    await unlink(path);
  } catch (error) {
    if (!isMissing(error)) {
      return;
    }
  }
  const record = join(paths.directoryOf(path), versionRecord);
  const found = await lstat(record).catch(() => undefined);
  if (found?.isFile() === true) {
    await unlink(record).catch(() => {});
  }
}

async function isFileInPlace(path: string): Promise<boolean> {
  const entry = await lstat(path).catch(() => undefined);
  if (entry === undefined) {
    return false;
  }
  if (entry.isSymbolicLink()) {
    return (await stat(path).catch(() => undefined))?.isFile() === true;
  }
  return entry.isFile() || entry.isFIFO();
}
