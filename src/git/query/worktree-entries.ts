/** The entries of linked worktrees in a git directory: `<git directory>/worktrees/<name>` (gitrepository-layout(5)). */
import { readdir } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, normalize } from 'node:path';
import type { Paths } from '../../../platform/paths.ts';
import { entryAt, readSmallText } from '../run/control-files.ts';

/** Names of the real folders in `<commonDirectory>/worktrees`; `undefined` when that is no folder. */
export async function entryNames(commonDirectory: string): Promise<string[] | undefined> {
  try {
    const found = await readdir(join(commonDirectory, 'worktrees'), { withFileTypes: true });
    return found.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch {
    return undefined;
  }
}

/**
 * The path of the `.git` file that an entry says is its worktree's, cleaned; a relative record counts from the entry.
 * `undefined` when there is no such record.
 */
export async function recordOf(entry: string, paths: Paths): Promise<string | undefined> {
  const record = (await readSmallText(join(entry, 'gitdir'), paths))?.trim();
  if (record === undefined || record === '') {
    return undefined;
  }
  return isAbsolute(record) ? normalize(record) : join(entry, record);
}

/** Whether the entry's `commondir` leads back to the git directory it is in. */
export async function leadsBack(entry: string, commonDirectory: string, paths: Paths): Promise<boolean> {
  const content = await readSmallText(join(entry, 'commondir'), paths);
  return content !== undefined && join(entry, content.trim()) === commonDirectory;
}

export async function isLocked(entry: string): Promise<boolean> {
  return (await entryAt(join(entry, 'locked'))) !== undefined;
}

/** Paths of the entries whose record is one of these `.git` files. */
export async function entriesNaming(
  commonDirectory: string,
  dotGitFiles: readonly string[],
  paths: Paths,
): Promise<string[]> {
  const entries = ((await entryNames(commonDirectory)) ?? []).map((name) => join(commonDirectory, 'worktrees', name));
  const records = await Promise.all(entries.map((entry) => recordOf(entry, paths)));
  return entries.filter((_, index) => dotGitFiles.includes(records[index] ?? ''));
}

/** What a worktree's `.git` file says about where its entry is. */
export type DotGit =
  | { readonly state: 'entry'; readonly gitDirectory: string; readonly common: string; readonly name: string }
  | { readonly state: 'elsewhere'; readonly gitDirectory: string }
  | { readonly state: 'missing' | 'notRegular' | 'noGitDirectory' };

/** Reads `<worktree>/.git`. */
export async function dotGitOf(worktree: string, paths: Paths): Promise<DotGit> {
  const file = join(worktree, '.git');
  const found = await entryAt(file);
  if (found === undefined) {
    return { state: 'missing' };
  }
  if (!found.isFile()) {
    return { state: 'notRegular' };
  }
  const named = /^gitdir:(.*)$/s.exec((await readSmallText(file, paths)) ?? '')?.[1]?.trim();
  if (named === undefined || named === '') {
    return { state: 'noGitDirectory' };
  }
  const gitDirectory = isAbsolute(named) ? normalize(named) : join(worktree, named);
  const parent = dirname(gitDirectory);
  if (basename(parent) !== 'worktrees') {
    return { state: 'elsewhere', gitDirectory };
  }
  return { state: 'entry', gitDirectory, common: dirname(parent), name: gitDirectory.slice(parent.length + 1) };
}
