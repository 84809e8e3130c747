/** Where a path really leads, also when it does not exist to its end. */
import { lstat, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { componentsOf } from '../query/path-components.ts';

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

/** As many links as the kernel follows. */
const mostLinks = 40;

/** Where the resolving of a path stops, links followed one by one. `undefined`: it goes through to the end, or round in a loop. */
export async function firstUnresolved(
  path: string,
): Promise<{ readonly path: string; readonly error: unknown } | undefined> {
  let at = '/';
  let rest = componentsOf(path);
  for (let links = 0; rest.length > 0; ) {
    const [name = '', ...more] = rest;
    const next = join(at, name);
    let isLink: boolean;
    try {
      isLink = (await lstat(next)).isSymbolicLink();
    } catch (error) {
      return { path: next, error };
    }
    rest = more;
    if (!isLink) {
      at = next;
    } else if (++links > mostLinks) {
      return undefined;
    } else {
      rest = [...componentsOf(resolve(at, await readlink(next))), ...more];
      at = '/';
    }
  }
  return undefined;
}
