/**
 * Whether a path is inside a folder that holds session worktrees. Such a place is no repository to work from: its content
 * was checked out for a session and may be under the control of that session (spec git.md §4.2, §5, §6.2).
 */
import { lstat, realpath } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { GitHost } from '../../../platform/git-host.ts';
import { entryAt } from '../run/control-files.ts';
import { componentsOf } from './path-components.ts';

/** Marks a folder of worktrees outside their repository (spec git.md §6.3). */
export const markerName = '.claude-managed-worktrees';

export type Place =
  /** The path exists and is outside of all managed folders. */
  | 'outside'
  /** The path is inside a managed folder. */
  | 'managed'
  /** There is nothing at the path. */
  | 'missing'
  /** There is something at the path, but where it leads cannot be found out. */
  | 'unresolved';

/** @param path as sent, after tilde; `''`: the daemon's own working directory */
export async function placeOf(path: string, host: GitHost): Promise<Place> {
  const absolute = resolve(path);
  let realPath: string;
  try {
    realPath = await realpath(absolute);
  } catch {
    if (isBelowWorktrees(absolute, host)) {
      return 'managed';
    }
    return (await isThere(absolute)) ? 'unresolved' : 'missing';
  }
  for (const spelling of new Set([absolute, realPath])) {
    if (isBelowWorktrees(spelling, host) || (await isBelowMarker(spelling))) {
      return 'managed';
    }
  }
  return 'outside';
}

/** Whether the path is, or is below, a folder `.claude/worktrees`. */
function isBelowWorktrees(path: string, host: GitHost): boolean {
  const components = componentsOf(host.comparable(path));
  return components.some((name, index) => name === '.claude' && components[index + 1] === 'worktrees');
}

/** A marker beside a `.git` does not count, because a checkout may contain a file of that name. */
async function isBelowMarker(path: string): Promise<boolean> {
  for (let above = dirname(path); ; above = dirname(above)) {
    const marked = await entryAt(join(above, markerName));
    if (marked !== undefined && (await entryAt(join(above, '.git'))) === undefined) {
      return true;
    }
    if (dirname(above) === above) {
      return false;
    }
  }
}

/** Something that cannot even be looked at counts as there. */
async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'ERR_INVALID_ARG_VALUE';
  }
}
