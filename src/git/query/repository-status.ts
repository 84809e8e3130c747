/** The changes in the work tree of any repository (`git.status` where profile row `git.status.scope` is `repository`, spec git.md §4.1). */
import { join } from 'node:path';
import { decodeBytes } from '../../wire/utf8.ts';
import { GitFailure, namingFileCalls } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { withRepositoryIfAny } from '../run/open-repository.ts';
import { trimSpace } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { checkIndex, mayNameSubmodules } from './index-submodules.ts';
import { isRepository } from './repository-folders.ts';
import { withoutLookingInside, withSubmoduleChanges } from './submodule-changes.ts';

/**
 * @param path after tilde; `''`: the daemon's own working directory
 * @returns the lines of `git status`; `undefined` when there is no repository
 * @throws GitFailure `callFailed`, `notRun`
 */
export function repositoryStatus(program: GitProgram, path: string): Promise<readonly string[] | undefined> {
  return namingFileCalls(program.services, () => withRepositoryIfAny(program, path, collectChanges));
}

async function collectChanges(repository: Repository): Promise<readonly string[] | undefined> {
  const { found } = repository;
  const index = found === undefined ? undefined : join(found.gitDirectory, 'index');
  if (index !== undefined) {
    await checkIndex(index);
  }
  // A large index takes a while to be looked through, so that is done while git runs.
  const [status, mayHaveSubmodules] = await Promise.all([
    repository.run(['status', '--porcelain', withoutLookingInside], { statusLike: true }),
    index !== undefined && mayNameSubmodules(index, repository.program.services.platform.paths),
  ]);
  if (status.failure !== undefined) {
    // Only where there is no answer it matters whether there is a repository.
    if (await isRepository(repository)) {
      throw new GitFailure('callFailed', status.failure);
    }
    return undefined;
  }
  const top = mayHaveSubmodules ? found?.workTree : undefined;
  const lines = status.stdout.toString('latin1').split('\n').slice(0, -1);
  const all = top === undefined ? lines : await withSubmoduleChanges(repository, lines, top);
  const text = decodeBytes(Buffer.from(all.map((line) => `${line}\n`).join(''), 'latin1'));
  // The contract of that profile trims the whole text, which costs the first line its leading space.
  const changes = repository.program.services.profile.git.status.trimBlob ? trimSpace(text) : text.replace(/\n$/, '');
  return changes === '' ? [] : changes.split('\n');
}
