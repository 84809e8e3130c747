/** The local branches of a repository (`git.list_branches`, spec git.md §5). */
import { GitFailure, namingFileCalls } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { withRepositoryIfAny } from '../run/open-repository.ts';
import { linesOf } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { placeOf } from './managed-place.ts';
import { isRepository } from './repository-folders.ts';

/**
 * @param path after tilde; `''`: the daemon's own working directory
 * @returns `undefined` when there is no repository
 * @throws GitFailure `notRun`, `callFailed`
 */
export function listBranches(program: GitProgram, path: string): Promise<readonly string[] | undefined> {
  return namingFileCalls(program.services, () => collectBranches(program, path));
}

async function collectBranches(program: GitProgram, path: string): Promise<readonly string[] | undefined> {
  const { platform, profile } = program.services;
  if (profile.git.listBranches.refuseManaged && (await placeOf(path, platform.git)) !== 'outside') {
    return undefined;
  }
  return withRepositoryIfAny(program, path, namesOfBranches);
}

async function namesOfBranches(repository: Repository): Promise<readonly string[] | undefined> {
  // Not %(refname:short), which prints `heads/main` where a tag `main` exists.
  const names = await repository.run(['for-each-ref', '--format=%(refname:lstrip=2)', 'refs/heads/']);
  if (names.failure === undefined) {
    return linesOf(names.stdout);
  }
  // Only where there is no answer it matters whether there is a repository.
  if (await isRepository(repository)) {
    throw new GitFailure('callFailed', names.failure);
  }
  return undefined;
}
