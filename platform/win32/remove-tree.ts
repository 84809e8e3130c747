/**
 * Recursive removal that cannot be led astray (threat 17 of docs/security.md): a folder is emptied only while it is held
 * open as the real folder it is, so nobody can put a link in its place meanwhile.
 */
import fs from 'node:fs';
import { unlinkOrRmdir } from '../common/node-files.ts';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { Patience } from './held-by-others.ts';
import { isLink, isMountPoint } from './link.ts';

/** Rounds over one folder: others may keep adding to it, which must not keep us for ever. */
const mostRounds = 8;

/**
 * Removes whatever is at `path`; a missing one is no failure.
 * @throws SystemCallError `unlinkat <path>: ...`, the first failure of all, after the rest was removed
 */
export function removeTree(paths: Paths, path: string): Promise<void> {
  return remove(paths, path, new Patience());
}

async function remove(paths: Paths, path: string, patience: Patience): Promise<void> {
  try {
    const found = await fs.promises.lstat(path);
    if (found.isSymbolicLink() || isLink(path)) {
      await removeLink(path);
    } else if (found.isDirectory()) {
      await removeFolder(paths, path, patience);
    } else {
      await patience.with(() => fs.promises.unlink(path));
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'ENOENT') {
      return;
    }
    if (error instanceof EntryStayed) {
      throw error;
    }
    throw new EntryStayed(`unlinkat ${path}: ${paths.reason(error)}`, code, { cause: error });
  }
}

/** A failure in the contract's words: with the path of the entry that stayed. */
class EntryStayed extends SystemCallError {}

/** A link goes, what it leads to stays; a mounted volume is not ours to unmount. */
async function removeLink(path: string): Promise<void> {
  if (isMountPoint(path)) {
    throw Object.assign(new Error('another file system'), { code: 'EBUSY' });
  }
  // rmdir is for links to folders of a kind that Node does not unlink.
  await unlinkOrRmdir(path);
}

async function removeFolder(paths: Paths, path: string, patience: Patience): Promise<void> {
  for (let round = 1; ; round++) {
    await empty(paths, path, patience);
    try {
      // By now a link may stand here: then that link is what goes.
      await patience.with(() => fs.promises.rmdir(path));
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY' || round === mostRounds) {
        throw error;
      }
      // An entry that somebody still has open goes when he closes it.
      await patience.pause();
    }
  }
}

/** Removes all entries there are now. @throws SystemCallError the first failure, after the others were removed */
async function empty(paths: Paths, path: string, patience: Patience): Promise<void> {
  const folder = DirectoryHandle.open(path);
  let first: unknown;
  try {
    for (const name of await fs.promises.readdir(path)) {
      try {
        await remove(paths, folder.at(name), patience);
      } catch (error) {
        first ??= error;
      }
    }
  } finally {
    folder.close();
  }
  if (first !== undefined) {
    throw first;
  }
}
