/** Where a path really leads, also when it does not exist to its end. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

/** An absolute path with its links resolved as far as it exists. */
export async function realPathSoFar(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(await realPathSoFar(parent), basename(path));
  }
}

/** The path with the links of the folder above it resolved, and its own last component as it is. */
export async function withRealParent(path: string): Promise<string> {
  const parent = dirname(resolve(path));
  return join(await realpath(parent).catch(() => parent), basename(path));
}

/** The `.git` file of a worktree, as git writes the path into the worktree's entry. */
export async function realDotGit(worktree: string): Promise<string> {
  return join(await realPathSoFar(worktree), '.git');
}
