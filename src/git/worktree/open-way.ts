/** Folders that we may not read or search hide what is in them, so nothing below them is removed (spec generation-n2.md §10.3). */
import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { componentsOf } from '../query/path-components.ts';
import type { GitServices } from '../run/services.ts';
import { notRemoved } from './failures.ts';

/**
 * Every folder from `base` to the one above `path` can be read and searched. The first that is missing ends the way.
 * @param base as sent, after tilde: the repository, or the root of the worktrees
 * @param path the worktree, cleaned, below `base`
 * @throws WorktreeFailure
 */
export async function checkWayIsOpen(base: string, path: string, { platform }: GitServices): Promise<void> {
  // Where there are no modes to be judged the calls that follow speak for themselves.
  if (!platform.git.externalRoots) {
    return;
  }
  let at = resolve(base);
  const names = componentsOf(relative(at, path));
  for (const [index, name] of names.entries()) {
    const folder = index === 0 ? `open ${base}` : `openat ${names[index - 1]}`;
    const isThere = await unlessDenied(folder, () => opens(at));
    const next = join(at, name);
    const entry = index === 0 ? `statat ${name}` : 'statat .';
    if (!isThere || !(await unlessDenied(entry, () => lstat(next)))) {
      return;
    }
    at = next;
  }

  /** @returns whether the call went well. @throws WorktreeFailure when it was denied */
  async function unlessDenied(call: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EACCES') {
        throw notRemoved(`${call}: ${platform.paths.reason(error)}`);
      }
      return false;
    }
  }
}

async function opens(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NONBLOCK);
  await handle.close();
}
