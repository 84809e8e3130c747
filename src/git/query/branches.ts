/** `git.list_branches` (spec git.md §5). */
import { RpcError } from '../../doors/rpc/errors.ts';
import type { ResultObject } from '../../wire/json.ts';
import { NoRepository } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { openRepository } from '../run/open-repository.ts';
import { linesOf } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { placeOf } from './managed-place.ts';

const noRepository: ResultObject = { isRepo: false, branches: [] };

/**
 * @param path after tilde; `''`: the daemon's own working directory
 * @throws RpcError `exit status 128`; GitRefusal
 */
export async function listBranches(program: GitProgram, path: string): Promise<ResultObject> {
  const { platform, profile } = program.services;
  if (profile.git.listBranches.refuseManaged && (await placeOf(path, platform.git)).state !== 'outside') {
    return noRepository;
  }
  let repository: Repository;
  try {
    ({ repository } = await openRepository(program, path));
  } catch (error) {
    if (error instanceof NoRepository) {
      return noRepository;
    }
    throw error;
  }
  const [isRepository, names] = await Promise.all([
    repository.test(['rev-parse', '--git-dir']),
    // Not %(refname:short): that says `heads/main` where a tag `main` exists.
    repository.run(['for-each-ref', '--format=%(refname:lstrip=2)', 'refs/heads/']),
  ]);
  if (!isRepository) {
    return noRepository;
  }
  if (names.failure !== undefined) {
    throw new RpcError('internal', names.failure);
  }
  return { isRepo: true, branches: linesOf(names.stdout) };
}
