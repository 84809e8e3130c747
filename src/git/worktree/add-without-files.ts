/** `git worktree add` without the files (spec git.md §6.4.3). */
import { lstat } from 'node:fs/promises';
import type { CommandResult } from '../../base/run-command.ts';
import type { Repository } from '../run/repository.ts';
import type { CreateDeadline } from './create-deadline.ts';
import { addFailed } from './failures.ts';
import { quotedText } from './quoted-text.ts';
import { addWorktree } from './records.ts';
import type { StartPoint } from './start-commit.ts';
import { removeEmptyWorktree } from './true-place.ts';

export interface AddRequest {
  readonly branchName: string;
  /** A branch to check out instead of a new one, if there is such a branch. `''`: none. */
  readonly existingBranch: string;
  /** As sent, after tilde. */
  readonly worktreePath: string;
  /** The same path, absolute and cleaned. An empty folder is there. */
  readonly worktree: string;
  /** Where the folder must be, without links. */
  readonly place: string | undefined;
  readonly start: StartPoint;
  readonly deadline: CreateDeadline;
}

export interface AddedWorktree {
  /** The branch the worktree is on. */
  readonly branch: string;
  /** Whether the branch was there before. */
  readonly attached: boolean;
  /** The deadline ended the add, which may have made the worktree or not. */
  readonly timedOut: boolean;
}

/** @throws WorktreeFailure when git refuses; then the folder is gone, if it is empty */
export async function addWithoutFiles(repository: Repository, request: AddRequest): Promise<AddedWorktree> {
  const { branchName, existingBranch, worktreePath, worktree, place, start, deadline } = request;
  const rows = repository.program.services.profile.git.create;
  const timeoutMs = rows.timeoutEndsAdd ? deadline.leftMs : undefined;
  const run = async (args: readonly string[], attaches = false) =>
    (await addWorktree(repository, { branch: branchName, attaches, place, args, timeoutMs })).result;

  const refusal = await attach(repository, request, (args) => run(args, true));
  if (refusal === 'attached') {
    return { branch: existingBranch, attached: true, timedOut: false };
  }
  const commit = start.commit === undefined ? [] : [start.commit];
  const added = await run(['--no-track', '--no-checkout', '-b', branchName, '--', worktreePath, ...commit]);
  if (added.failure === undefined) {
    return { branch: branchName, attached: false, timedOut: false };
  }
  if (rows.timeoutEndsAdd && added.timedOut && deadline.hasPassed) {
    return { branch: branchName, attached: false, timedOut: true };
  }
  // Only an empty folder may be removed: git, or somebody else, may have put something in it.
  await removeEmptyWorktree(repository.program.services.platform.files, worktree, place).catch(() => {});
  const text = quotedText(repository, added);
  throw addFailed(refusal === undefined ? text : `${text} ${refusal}`);
}

/** @returns `undefined` when there is nothing to attach to, else why attaching failed */
async function attach(
  repository: Repository,
  request: AddRequest,
  run: (args: readonly string[]) => Promise<CommandResult>,
): Promise<'attached' | string | undefined> {
  const { existingBranch, worktreePath, worktree } = request;
  // git makes no branch with a leading dash, and `-` alone would mean the branch that was checked out before.
  const isName = existingBranch !== '' && !existingBranch.startsWith('-');
  if (!repository.program.services.profile.git.create.existingBranch || !isName) {
    return undefined;
  }
  if (!(await repository.test(['show-ref', '--verify', `refs/heads/${existingBranch}`]))) {
    return undefined;
  }
  const before = await lstat(worktree);
  const attached = await run(['--no-checkout', '--', worktreePath, existingBranch]);
  if (attached.failure === undefined) {
    return 'attached';
  }
  const text = quotedText(repository, attached);
  const after = await lstat(worktree).catch(() => undefined);
  // Another process has put its own folder in the place, so nothing may be added there.
  if (after?.dev !== before.dev || after.ino !== before.ino) {
    throw addFailed(text);
  }
  return `(attaching to the existing branch ${existingBranch} was refused first: ${text})`;
}
