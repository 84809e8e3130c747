/** Removes a session's worktree (`git.worktree_remove`, spec git.md §8). */
import { GitFailure, namingFileCalls } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { withTrustedRepository } from '../run/open-repository.ts';
import { refuseNestedBase } from './base-repository.ts';
import { changeBranch } from './branch-change.ts';
import { checkContained } from './containment.ts';
import { externalPathOf } from './external-root.ts';
import { notRemoved } from './failures.ts';
import { guardHome } from './home-guard.ts';
import { oneChangeAtATime } from './one-change-at-a-time.ts';
import { checkWayIsOpen } from './open-way.ts';
import { dropLog, linkOnTheWayTo } from './records.ts';
import { removeByGit } from './remove-by-git.ts';
import { checkRemovableExternal, checkRemovableLeaf } from './remove-checks.ts';
import { removeOwn } from './remove-own.ts';
import { dropBranchSettings } from './settings-edits.ts';
import { placeOfWorktree } from './true-place.ts';

export interface RemoveParams {
  /** Paths after tilde; `''` where nothing was sent. */
  readonly baseRepo: string;
  readonly worktreePath: string;
  readonly worktreeRoot: string;
  readonly branchName: string;
}

export interface RemovedWorktree {
  /** The branch was left where it is, because it has commits of its own or could not be deleted. */
  readonly branchKept: boolean;
}

/** @throws WorktreeFailure for everything a client is told in the result */
export function removeWorktree(program: GitProgram, params: RemoveParams): Promise<RemovedWorktree> {
  return namingFileCalls(program.services, () =>
    oneChangeAtATime(program, params.baseRepo, async () => {
      try {
        return await remove(program, params);
      } catch (error) {
        // Where something could not be looked at, nothing is removed.
        throw error instanceof GitFailure ? notRemoved(error.message, { cause: error }) : error;
      }
    }),
  );
}

/** @throws WorktreeFailure */
async function remove(program: GitProgram, params: RemoveParams): Promise<RemovedWorktree> {
  const { services } = program;
  const { remove: rows } = services.profile.git;
  const { baseRepo, worktreePath, branchName } = params;
  if (rows.containment) {
    await checkPath(program, params);
  }
  const place = rows.containment ? await placeOfWorktree(params, services.platform.paths) : undefined;
  if (worktreePath !== '') {
    await guardHome(worktreePath, baseRepo, services);
  }
  if (rows.engine === 'own') {
    return { branchKept: await removeOwn(program, { baseRepo, path: worktreePath, branchName, place }) };
  }

  return withTrustedRepository(program, baseRepo, async (repository) => {
    await removeByGit(repository, worktreePath, place);
    // Deleting the branch may fail, e.g. because it is checked out elsewhere; the worktree is removed all the same.
    if (branchName !== '' && (await linkOnTheWayTo(repository, branchName)) === undefined) {
      const deleted = await changeBranch(repository, { branch: branchName, change: 'delete' }, (name) =>
        repository.run(['branch', '-D', '--', name], { changes: true }),
      );
      if (deleted.failure === undefined) {
        await dropLog(repository, branchName);
        await dropBranchSettings(repository, branchName);
      }
    }
    return { branchKept: false };
  });
}

/** @throws WorktreeFailure */
async function checkPath(program: GitProgram, params: RemoveParams): Promise<void> {
  const { services } = program;
  const { baseRepo, worktreePath, worktreeRoot } = params;
  await refuseNestedBase(program, baseRepo);
  if (worktreeRoot !== '') {
    await checkRemovableExternal(program, externalPathOf(params));
    return;
  }
  if (worktreePath === '') {
    throw notRemoved('"" does not name a directory');
  }
  await checkContained('remove', worktreePath, baseRepo, services);
  if (services.profile.git.remove.engine === 'own') {
    await checkWayIsOpen(baseRepo, services.platform.paths.clean(worktreePath), services);
    await checkRemovableLeaf(worktreePath, services.platform.paths.clean(worktreePath));
  }
}
