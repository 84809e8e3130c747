/** The changes in the work tree of any repository (`git.status` where profile row `git.status.scope` is `repository`, spec git.md §4.1). */
import { resolve } from 'node:path';
import { decodeBytes } from '../../wire/utf8.ts';
import { GitFailure, namingFileCalls } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { lineOf, trimSpace } from '../run/output-text.ts';
import { Repository } from '../run/repository.ts';
import { submoduleProgramPins } from './submodule-programs.ts';

/**
 * @param path after tilde; `''`: the daemon's own working directory
 * @returns the lines of `git status`; `undefined` when there is no repository
 * @throws GitFailure `callFailed`
 */
export function repositoryStatus(program: GitProgram, path: string): Promise<readonly string[] | undefined> {
  return namingFileCalls(program.services.platform.paths, () => collectChanges(program, path));
}

async function collectChanges(program: GitProgram, path: string): Promise<readonly string[] | undefined> {
  const repository = new Repository(program, path);
  repository.pins.prepareForPrograms();
  const gitDirectory = await repository.run(['rev-parse', '--git-dir']);
  if (gitDirectory.failure !== undefined) {
    return undefined;
  }
  const folder = resolve(path);
  repository.pins.pinAlso(submoduleProgramPins(repository, folder, resolve(folder, lineOf(gitDirectory))));
  const status = await repository.run(['status', '--porcelain'], {
    set: 'heavy',
    statusLike: true,
    mayRunPrograms: true,
  });
  if (status.failure !== undefined) {
    throw new GitFailure('callFailed', status.failure);
  }
  const text = decodeBytes(status.stdout);
  // The contract of that profile trims the whole text, which costs the first line its leading space.
  const changes = program.services.profile.git.status.trimBlob ? trimSpace(text) : text.replace(/\n$/, '');
  return changes === '' ? [] : changes.split('\n');
}
