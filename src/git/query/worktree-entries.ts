/** The entries of linked worktrees in a git directory: `<git directory>/worktrees/<name>` (gitrepository-layout(5)). */
import { readdir } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, normalize } from 'node:path';
import type { Paths } from '../../../platform/paths.ts';
import { entryAt, readSmallText } from '../run/control-files.ts';

/** Paths of the real folders in `<commonDirectory>/worktrees`; none when that cannot be read. */
async function entriesOf(commonDirectory: string): Promise<string[]> {
  const folder = join(commonDirectory, 'worktrees');
  const found = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return found.filter((entry) => entry.isDirectory()).map((entry) => join(folder, entry.name));
}

/**
 * The `.git` file of the worktree that an entry was made for, as the entry's file `gitdir` has it: cleaned, and a relative
 * path counted from the entry. `undefined` when the file does not say it.
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

/**
 * Paths of the entries whose record is one of these `.git` files.
 * @param comparable makes paths comparable where spelling does not tell two files apart; the default compares as they are
 */
export async function entriesNaming(
  commonDirectory: string,
  dotGitFiles: readonly string[],
  paths: Paths,
  comparable: (path: string) => string = (path) => path,
): Promise<string[]> {
  const wanted = new Set(dotGitFiles.map(comparable));
  const entries = await entriesOf(commonDirectory);
  const records = await Promise.all(entries.map(async (entry) => ({ entry, record: await recordOf(entry, paths) })));
  return records
    .filter(({ record }) => record !== undefined && wanted.has(comparable(record)))
    .map(({ entry }) => entry);
}

/** Where the `.git` file of a worktree says that the worktree's entry is. */
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
