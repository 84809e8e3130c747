/** How a request comes to its repository (spec git.md §9, last table): trust check, inherited configuration, hooks check. */
import { ownVariables } from '../../base/own-process.ts';
import { isNoRepository } from './failures.ts';
import { type Discovery, discover } from './git-directory-trust.ts';
import type { GitProgram } from './git-program.ts';
import { inheritedConfigPairs } from './inherited-configuration.ts';
import { Repository } from './repository.ts';

export interface OpenedRepository {
  readonly repository: Repository;
  /** `undefined` in the profiles that leave the discovery to git, and for a directory that is missing. */
  readonly discovery: Discovery | undefined;
}

/**
 * The steps that come before any call of git.
 * @throws GitFailure `noRepository`, `notRun`; never in the profiles without a trust check
 */
export async function trustRepository(program: GitProgram, directory: string): Promise<OpenedRepository> {
  const { platform, profile } = program.services;
  const discovery = profile.git.trustCheck ? await discover(directory, platform.paths) : undefined;
  if (profile.git.listing === 'required') {
    inheritedConfigPairs(ownVariables(platform.startedWith));
  }
  return { repository: new Repository(program, directory, discovery?.commonDirectory), discovery };
}

/**
 * All steps.
 * @throws GitFailure `noRepository`, `notRun`; never in the profiles without a trust check
 */
export async function openRepository(program: GitProgram, directory: string): Promise<OpenedRepository> {
  const opened = await trustRepository(program, directory);
  await opened.repository.pins.checkHooks();
  return opened;
}

/**
 * All steps, for the questions that have an answer for a path without a repository too.
 * @returns `undefined` when there is no repository
 * @throws GitFailure `notRun`
 */
export async function openRepositoryIfAny(
  program: GitProgram,
  directory: string,
): Promise<OpenedRepository | undefined> {
  try {
    return await openRepository(program, directory);
  } catch (error) {
    if (isNoRepository(error)) {
      return undefined;
    }
    throw error;
  }
}
