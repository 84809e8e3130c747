/** The entries of linked worktrees in a git directory: `<git directory>/worktrees/<name>` (gitrepository-layout(5)). */
import { basename, dirname, isAbsolute, join, normalize } from 'node:path';
import type { Paths } from '../../../platform/paths.ts';
import { entryAt, isThere, readSmallFile, readSmallText } from '../run/control-files.ts';
import { GitFailure } from '../run/failures.ts';
import { registrationsIn } from '../run/registrations.ts';

/** So many registrations are read at the same time. */
const readAtOnce = 32;

/**
 * The `.git` file of the worktree that an entry was made for, as the entry's file `gitdir` has it: cleaned, and a relative
 * path counted from the entry. `undefined` when the file does not say it.
 * @throws GitFailure `notRun` when it could not be looked at
 */
export async function recordOf(entry: string, paths: Paths): Promise<string | undefined> {
  const file = join(entry, 'gitdir');
  const read = await readSmallFile(file, paths);
  if (read.state === 'failed') {
    throw new GitFailure('notRun', `${file} could not be read: ${read.reason}`);
  }
  const record = read.state === 'read' ? read.bytes.toString().trim() : '';
  if (record === '') {
    return undefined;
  }
  return isAbsolute(record) ? normalize(record) : join(entry, record);
}

/** Whether the entry's `commondir` leads back to the git directory it is in. */
export async function leadsBack(entry: string, commonDirectory: string, paths: Paths): Promise<boolean> {
  const content = await readSmallText(join(entry, 'commondir'), paths);
  return content !== undefined && join(entry, content.trim()) === commonDirectory;
}

/** @throws Node's error when that cannot be told */
export function isLocked(entry: string): Promise<boolean> {
  return isThere(join(entry, 'locked'));
}

/** An entry and the `.git` file it was made for. */
export interface WorktreeRecord {
  readonly entry: string;
  readonly dotGit: string;
}

/**
 * All entries that say which worktree they are of.
 * @throws Node's error, GitFailure `notRun` when one could not be looked at; LimitReached
 */
export async function recordsIn(commonDirectory: string, paths: Paths): Promise<WorktreeRecord[]> {
  const entries = (await registrationsIn(commonDirectory)).map((name) => join(commonDirectory, 'worktrees', name));
  const records: WorktreeRecord[] = [];
  for (let at = 0; at < entries.length; at += readAtOnce) {
    const some = entries.slice(at, at + readAtOnce).map(async (entry) => {
      const isFolder = (await entryAt(entry))?.isDirectory() === true;
      return { entry, dotGit: isFolder ? await recordOf(entry, paths) : undefined };
    });
    for (const { entry, dotGit } of await Promise.all(some)) {
      if (dotGit !== undefined) {
        records.push({ entry, dotGit });
      }
    }
  }
  return records;
}

/**
 * Paths of the entries whose record is one of these `.git` files.
 * @param comparable makes paths comparable where spelling does not tell two files apart; the default compares as they are
 * @throws as {@link recordsIn}
 */
export async function entriesNaming(
  commonDirectory: string,
  dotGitFiles: readonly string[],
  paths: Paths,
  comparable: (path: string) => string = (path) => path,
): Promise<string[]> {
  const wanted = new Set(dotGitFiles.map(comparable));
  const records = await recordsIn(commonDirectory, paths);
  return records.filter(({ dotGit }) => wanted.has(comparable(dotGit))).map(({ entry }) => entry);
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
