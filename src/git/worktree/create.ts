/** Adds a worktree for a session (`git.worktree_create`, spec git.md §6). */
import { isInWorkTree } from '../query/repository-folders.ts';
import { GitFailure, isNoRepository, namingFileCalls } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { withTrustedRepository } from '../run/open-repository.ts';
import type { Repository } from '../run/repository.ts';
import { refuseNestedBase } from './base-repository.ts';
import { createByAdd } from './create-by-add.ts';
import { createInSteps } from './create-in-steps.ts';
import type { CreatedWorktree, CreateParams } from './create-params.ts';
import { checkExternalSpelling, externalPathOf } from './external-root.ts';
import { WorktreeFailure } from './failures.ts';
import { oneChangeAtATime } from './one-change-at-a-time.ts';

/** @throws WorktreeFailure for everything a client is told in the result */
export function createWorktree(program: GitProgram, params: CreateParams): Promise<CreatedWorktree> {
  return namingFileCalls(program.services, () =>
    oneChangeAtATime(program, params.baseRepo, async () => {
      try {
        return await create(program, params);
      } catch (error) {
        throw asWorktreeFailure(error);
      }
    }),
  );
}

/** @throws WorktreeFailure, GitFailure `noRepository`, `notRun` */
async function create(program: GitProgram, params: CreateParams): Promise<CreatedWorktree> {
  if (program.services.profile.git.create.containment) {
    await refuseNestedBase(program, params.baseRepo);
  }
  return withTrustedRepository(program, params.baseRepo, (repository) => createIn(repository, params));
}

/** @throws WorktreeFailure, GitFailure `noRepository`, `notRun` */
async function createIn(repository: Repository, params: CreateParams): Promise<CreatedWorktree> {
  const { services } = repository.program;
  if (params.worktreeRoot !== '' && !services.platform.git.externalRoots) {
    checkExternalSpelling('create', externalPathOf(params), services);
  }
  await repository.pins.checkHooks();
  if (!(await isInWorkTree(repository))) {
    throw notARepository();
  }
  return services.profile.git.create.checkout === 'byAdd'
    ? createByAdd(repository, params)
    : createInSteps(repository, params);
}

function asWorktreeFailure(error: unknown): unknown {
  if (isNoRepository(error)) {
    return notARepository();
  }
  return error instanceof GitFailure
    ? new WorktreeFailure(error.message, 'worktree_add_failed', { cause: error })
    : error;
}

function notARepository(): WorktreeFailure {
  return new WorktreeFailure('not a git repository', 'not_a_repo');
}
