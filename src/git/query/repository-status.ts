/** The changes in the work tree of any repository (`git.status` where profile row `git.status.scope` is `repository`, spec git.md §4.1). */
import { join } from 'node:path';
import { decodeBytes } from '../../wire/utf8.ts';
import { GitFailure, namingFileCalls } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { withRepositoryIfAny } from '../run/open-repository.ts';
import { trimSpace } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { checkIndex } from './index-submodules.ts';
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
  if (repository.found !== undefined) {
    await checkIndex(join(repository.found.gitDirectory, 'index'));
  }
  const [isRepository, status] = await Promise.all([
    repository.test(['rev-parse', '--git-dir']),
    repository.run(['status', '--porcelain', withoutLookingInside], { statusLike: true }),
  ]);
  if (!isRepository) {
    return undefined;
  }
  if (status.failure !== undefined) {
    throw new GitFailure('callFailed', status.failure);
  }
  const top = repository.found?.workTree;
  const lines = status.stdout.toString('latin1').split('\n').slice(0, -1);
  const all = top === undefined ? lines : await withSubmoduleChanges(repository, lines, top);
  const text = decodeBytes(Buffer.from(all.map((line) => `${line}\n`).join(''), 'latin1'));
  // The contract of that profile trims the whole text, which costs the first line its leading space.
  const changes = repository.program.services.profile.git.status.trimBlob ? trimSpace(text) : text.replace(/\n$/, '');
  return changes === '' ? [] : changes.split('\n');
}
