/** How a request comes to its repository (spec git.md §9, last table): trust check, inherited configuration, settings, hooks check. */
import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ownVariables } from '../../base/own-process.ts';
import { isTrue } from './allowed-settings.ts';
import { GitFailure, isNoRepository, LimitReached } from './failures.ts';
import { type FoundGitDirectory, findGitDirectory, hasDecoy } from './find-git-directory.ts';
import { discover } from './git-directory-trust.ts';
import type { GitProgram } from './git-program.ts';
import { inheritedConfigPairs } from './inherited-configuration.ts';
import { Repository, type RepositoryPlace } from './repository.ts';
import { type RepositorySettings, readRepositorySettings } from './repository-settings.ts';

/**
 * Opens a repository without the hooks check, for the time of `work`. Where there is none, git is asked nevertheless, and
 * says so in its own words.
 * @throws GitFailure `notRun`; `noRepository` in the profiles with a trust check
 */
export async function withTrustedRepository<T>(
  program: GitProgram,
  directory: string,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  const { platform, profile } = program.services;
  const found = profile.git.trustCheck
    ? await discover(directory, platform.paths)
    : await findGitDirectory(directory, platform.paths);
  if (profile.git.listing === 'required') {
    inheritedConfigPairs(ownVariables(platform.startedWith));
  }
  const settings = await settingsOf(program, found);
  const startDirectory = await startOf(directory, found, settings, profile.git.trustCheck);
  return Repository.with(program, { directory, startDirectory, found, settings }, work);
}

/**
 * All steps.
 * @throws GitFailure `notRun`; `noRepository` in the profiles with a trust check
 */
export function withRepository<T>(
  program: GitProgram,
  directory: string,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  return withTrustedRepository(program, directory, async (repository) => {
    await repository.pins.checkHooks();
    return work(repository);
  });
}

/**
 * All steps, for the questions that have an answer for a path without a repository too.
 * @returns `undefined` when there is no repository
 * @throws GitFailure `notRun`
 */
export async function withRepositoryIfAny<T>(
  program: GitProgram,
  directory: string,
  work: (repository: Repository) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await withRepository(program, directory, async (repository) =>
      repository.found === undefined ? undefined : work(repository),
    );
  } catch (error) {
    if (isNoRepository(error)) {
      return undefined;
    }
    throw error;
  }
}

/**
 * Opens a linked worktree of a repository by its entry. What the worktree's own `.git` file says does not count.
 * @param entry `<common directory>/worktrees/<name>`
 * @param worktree where the files are
 * @throws GitFailure `notRun`
 */
export async function withWorktree<T>(
  program: GitProgram,
  {
    entry,
    commonDirectory,
    worktree,
  }: { readonly entry: string; readonly commonDirectory: string; readonly worktree: string },
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  const found = { gitDirectory: entry, commonDirectory, workTree: worktree };
  const settings = await settingsOf(program, found);
  return Repository.with(program, { directory: worktree, startDirectory: worktree, found, settings }, work);
}

/** @throws GitFailure `notRun` when the settings cannot be read, for another reason than that git itself cannot read them */
async function settingsOf(
  program: GitProgram,
  found: FoundGitDirectory | undefined,
): Promise<RepositoryPlace['settings']> {
  if (found === undefined) {
    return { settings: [] };
  }
  const { gitDirectory, commonDirectory } = found;
  const settings: RepositorySettings = await readRepositorySettings(
    gitDirectory,
    commonDirectory,
    program.services.platform.paths,
  );
  if ('refused' in settings) {
    throw settings.isLimit ? new LimitReached(settings.refused) : new GitFailure('notRun', settings.refused);
  }
  return settings;
}

async function startOf(
  directory: string,
  found: FoundGitDirectory | undefined,
  settings: RepositoryPlace['settings'],
  ignoresBare: boolean,
): Promise<string> {
  if (found?.workTree === undefined) {
    return directory;
  }
  // With a common directory given, git overlooks that a repository is meant to be bare.
  const isBare = 'settings' in settings && isTrue(settings.settings, 'core.bare');
  if (isBare && !ignoresBare && (await realpath(found.gitDirectory)) === found.commonDirectory) {
    return found.gitDirectory;
  }
  const start = found.start ?? (await realpath(resolve(directory)));
  return (await hasDecoy(start, found.workTree)) ? found.workTree : directory;
}
