/**
 * Recursive removal that cannot be led astray (threat 17 of docs/security.md): every step is relative to the descriptor of
 * a folder that was opened without following links, so a folder that is swapped for a link is removed as a link.
 */
import fs, { closeSync, constants, fstatSync, readFileSync } from 'node:fs';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { AtCalls } from './at-calls.ts';
import { hasProc } from './proc-files.ts';
import { randomHex } from './random.ts';

/** Folders held open at once. What lies deeper is moved up, so the depth of a tree costs no descriptors. */
const deepest = 48;
/** Rounds over one folder: others may keep adding to it, which must not keep us for ever. */
const mostRounds = 8;

/** One removal under way. */
interface Removal {
  readonly calls: AtCalls;
  readonly paths: Paths;
  /** File system of what was asked for; others, mounted below it, are not ours to empty. */
  readonly mount: string;
  /** The topmost folder, to which what lies too deep is moved. */
  top: number | undefined;
  /** Whether something was moved there since its entries were read. */
  moved: boolean;
}

/**
 * Removes the entry `name` of the open folder `parent`, whatever it is. A missing one is no failure.
 * @param path what messages call it
 * @throws SystemCallError `unlinkat <path>: <reason>`, the first failure of all, after the rest was removed
 */
export async function removeTree(
  calls: AtCalls,
  paths: Paths,
  parent: number,
  name: Buffer,
  path: string,
): Promise<void> {
  await removeEntry({ calls, paths, mount: mountOf(parent), top: undefined, moved: false }, parent, name, path, 0);
}

async function removeEntry(removal: Removal, parent: number, name: Buffer, path: string, depth: number) {
  const refusal = await attempt(() => removal.calls.removeFile(parent, name));
  if (refusal === undefined || refusal.code === 'ENOENT') {
    return;
  }
  // Folders: Linux says EISDIR, macOS EPERM; EACCES may come before either is looked at.
  if (!['EISDIR', 'EPERM', 'EACCES'].includes(refusal.code)) {
    throw asRemoval(removal, path, refusal);
  }

  let folder: number;
  try {
    folder = await removal.calls.open(parent, name, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') {
      return;
    }
    // The path is not a folder, so report the error of the first call.
    if (['ENOTDIR', 'ELOOP'].includes(codeOf(error))) {
      throw asRemoval(removal, path, refusal);
    }
    // A folder that we may not read can still be removed when it is empty.
    if ((await attempt(() => removal.calls.removeFolder(parent, name))) === undefined) {
      return;
    }
    throw asRemoval(removal, path, error);
  }
  await removeFolder(removal, parent, name, folder, path, depth);
}

/** Takes over the descriptor `folder`, which was opened as `name` of `parent`. */
async function removeFolder(
  removal: Removal,
  parent: number,
  name: Buffer,
  folder: number,
  path: string,
  depth: number,
): Promise<void> {
  const { calls } = removal;
  try {
    // A mount point could not be removed anyway: say so before its content is gone.
    if (mountOf(folder) !== removal.mount) {
      throw new SystemCallError('another file system', 'EBUSY');
    }
    if (depth >= deepest && removal.top !== undefined) {
      if ((await attempt(() => calls.removeFolder(parent, name))) === undefined) {
        return;
      }
      await calls.rename(parent, name, removal.top, Buffer.from(`.removed-${randomHex(8)}`));
      removal.moved = true;
      return;
    }
    removal.top ??= folder;
    let rounds = 0;
    for (;;) {
      if (folder === removal.top) {
        removal.moved = false;
      }
      await empty(removal, folder, path, depth);
      // Each move shortens what is left of the deep branch by 48 levels, so this ends.
      if (folder === removal.top && removal.moved) {
        continue;
      }
      const refusal = await attempt(() => calls.removeFolder(parent, name));
      if (refusal === undefined || refusal.code === 'ENOENT') {
        return;
      }
      if (!['ENOTEMPTY', 'EEXIST'].includes(refusal.code) || ++rounds === mostRounds) {
        throw refusal;
      }
    }
  } catch (error) {
    throw asRemoval(removal, path, error);
  } finally {
    closeSync(folder);
  }
}

/** Removes all entries there are now. @throws SystemCallError the first failure, after the others were removed */
async function empty(removal: Removal, folder: number, path: string, depth: number): Promise<void> {
  let first: unknown;
  // By descriptor where the OS can. By path it might be another folder's list; then the names are missing here, no more.
  const names = await fs.promises
    .readdir(hasProc ? `/proc/self/fd/${folder}` : path, { encoding: 'buffer' })
    .catch((error) => {
      // Another process has removed the folder.
      if (codeOf(error) === 'ENOENT') {
        return [];
      }
      throw error;
    });
  for (const name of names) {
    try {
      await removeEntry(removal, folder, name, `${path}/${name.toString()}`, depth + 1);
    } catch (error) {
      first ??= error;
    }
  }
  if (first !== undefined) {
    throw first;
  }
}

/** Names the file system: Linux tells bind mounts apart, which share their device number. */
function mountOf(descriptor: number): string {
  if (hasProc) {
    const mount = /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))?.[1];
    if (mount !== undefined) {
      return mount;
    }
  }
  return String(fstatSync(descriptor).dev);
}

/** A failure in the contract's words: with the path of the entry that stayed. */
class EntryStayed extends SystemCallError {}

/** Puts a failure into the contract's words; that of an entry further inside keeps its own path. */
function asRemoval(removal: Removal, path: string, error: unknown): SystemCallError {
  if (error instanceof EntryStayed) {
    return error;
  }
  return new EntryStayed(`unlinkat ${path}: ${removal.paths.reason(error)}`, codeOf(error), { cause: error });
}

/** @returns how it failed; `undefined` when it did not */
async function attempt(work: () => Promise<void>): Promise<SystemCallError | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof SystemCallError) {
      return error;
    }
    throw error;
  }
}

function codeOf(error: unknown): string {
  return (error as { code?: string } | undefined)?.code ?? '';
}
