/** A new worktree's registration in its repository (spec git.md §6.4.1, §6.4.4). */
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paths } from '../../../platform/paths.ts';
import { dotGitOf, entriesNaming, isLocked, leadsBack, recordOf } from '../query/worktree-entries.ts';
import { entryAt, readSmallText } from '../run/control-files.ts';
import type { GitServices } from '../run/services.ts';
import { refusing } from './failures.ts';
import { realDotGit, withRealParent } from './real-path.ts';
import { removeEntry } from './records.ts';

/** The entries that name this worktree. Usually there is one. */
export async function entriesOfWorktree(worktree: string, commonDirectory: string, paths: Paths): Promise<string[]> {
  return entriesNaming(commonDirectory, [await realDotGit(worktree)], paths);
}

/**
 * Removes the one registration that a worktree at this place has left behind, so that git lets the place be used again.
 * Best effort: a locked registration stays, and several stay because there is no telling which of them is meant.
 * @returns those that stay
 */
export async function removeStaleRegistration(
  worktree: string,
  commonDirectory: string,
  services: GitServices,
): Promise<readonly string[]> {
  const { paths, files } = services.platform;
  const entries = await entriesOfWorktree(worktree, commonDirectory, paths);
  const [entry, ...more] = entries;
  if (entry === undefined || more.length > 0 || (await isLocked(entry))) {
    return entries;
  }
  return removeEntry(entry, files).then(
    () => [],
    () => entries,
  );
}

export type Registration =
  | { readonly state: 'found'; readonly entry: string; readonly name: string }
  /** `reason`: what is wrong, in the contract's words. */
  | { readonly state: 'doubtful'; readonly reason: string };

const notAdmin = "carries a .git file that does not name this repository's own worktree admin directory";

/** The registration that belongs to a worktree: its `.git` file and the entry name each other. */
export async function registrationOf(worktree: string, commonDirectory: string, paths: Paths): Promise<Registration> {
  if (!(await entryAt(join(commonDirectory, 'worktrees')))?.isDirectory()) {
    return { state: 'doubtful', reason: 'was not populated by git worktree add' };
  }
  const dotGit = await dotGitOf(worktree, paths);
  if (dotGit.state !== 'entry') {
    return { state: 'doubtful', reason: notAdmin };
  }
  const entry = join(commonDirectory, 'worktrees', dotGit.name);
  const common = await realpath(dotGit.common).catch(() => dotGit.common);
  const isOurs =
    common === commonDirectory &&
    (await entryAt(entry))?.isDirectory() === true &&
    (await leadsBack(entry, commonDirectory, paths));
  if (!isOurs) {
    return { state: 'doubtful', reason: notAdmin };
  }
  if ((await readSmallText(join(entry, 'gitdir'), paths)) === undefined) {
    return { state: 'doubtful', reason: notAdmin };
  }
  if ((await recordOf(entry, paths)) !== (await realDotGit(worktree))) {
    return {
      state: 'doubtful',
      reason: 'carries a .git file naming an admin directory whose own record is of a different worktree',
    };
  }
  return { state: 'found', entry, name: dotGit.name };
}

/**
 * The registration of a worktree that was just added.
 * @param stale those that were found before the add and left where they were
 * @throws WorktreeFailure
 */
export async function checkRegistration(
  worktree: string,
  commonDirectory: string,
  stale: readonly string[],
  paths: Paths,
): Promise<Extract<Registration, { state: 'found' }>> {
  const registration = await registrationOf(worktree, commonDirectory, paths);
  if (registration.state === 'doubtful') {
    throw refusing('create', `${await withRealParent(worktree)} ${registration.reason}`);
  }
  if (stale.includes(registration.entry)) {
    const leaf = await withRealParent(worktree);
    throw refusing(
      'create',
      `${leaf} carries a .git file naming an admin entry other than the one just created for it`,
    );
  }
  return registration;
}
