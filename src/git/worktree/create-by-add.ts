/** A worktree made by one `git worktree add` that checks out the files too (spec git.md §6.1). */
import { resolve } from 'node:path';
import type { Repository } from '../run/repository.ts';
import { refuseLinkTo, refuseOptionAsBranch } from './branch-name.ts';
import type { CreatedWorktree, CreateParams } from './create-params.ts';
import { addFailed } from './failures.ts';
import { populate } from './populate.ts';
import { quotedText } from './quoted-text.ts';
import { keepNewWorktree } from './records.ts';
import { findStart } from './start-commit.ts';

/** @throws WorktreeFailure */
export async function createByAdd(repository: Repository, params: CreateParams): Promise<CreatedWorktree> {
  const { branchName, sourceBranch, worktreePath, baseRepo } = params;
  await refuseOptionAsBranch(repository, branchName);
  const start = await findStart(repository, sourceBranch);
  await refuseLinkTo(repository, branchName);
  const options = { changes: true, mayFetch: true };
  const added = await repository.run(
    ['worktree', 'add', '-b', branchName, '--', worktreePath, ...(start.ref === undefined ? [] : [start.ref])],
    options,
  );
  if (added.failure !== undefined) {
    throw addFailed(quotedText(repository, added));
  }
  await keepNewWorktree(repository, branchName, options);
  await populate(repository, resolve(baseRepo, worktreePath));
  return { sourceBranch: start.shown, branch: branchName };
}
