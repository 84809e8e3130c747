/** How a request comes to its repository (spec git.md §9, last table): trust check, inherited configuration, hooks check. */
import { ownVariables } from '../../base/own-process.ts';
import { type Discovery, discover } from './git-directory-trust.ts';
import type { GitProgram } from './git-program.ts';
import { inheritedConfigPairs } from './inherited-configuration.ts';
import { Repository } from './repository.ts';

export interface Trusted {
  readonly repository: Repository;
  /** `undefined` in the profiles that leave the discovery to git, and for a directory that is missing. */
  readonly discovery: Discovery | undefined;
}

/**
 * The steps before any git.
 * @throws NoRepository, GitRefusal; never in the profiles without a trust check
 */
export async function trust(program: GitProgram, directory: string): Promise<Trusted> {
  const { platform, profile } = program.services;
  const discovery = profile.git.trustCheck ? await discover(directory, platform.paths) : undefined;
  if (profile.git.listing === 'required') {
    inheritedConfigPairs(ownVariables(program.services.platform.startedWith));
  }
  return { repository: new Repository(program, directory, discovery?.commonDirectory), discovery };
}

/**
 * All steps.
 * @throws NoRepository, GitRefusal; never in the profiles without a trust check
 */
export async function openRepository(program: GitProgram, directory: string): Promise<Trusted> {
  const trusted = await trust(program, directory);
  await trusted.repository.checkHooks();
  return trusted;
}
