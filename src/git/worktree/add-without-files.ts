/** `git worktree add` without the files (spec git.md §6.4.3). */
import { lstat, rmdir } from 'node:fs/promises';
import type { CommandResult } from '../../base/run-command.ts';
import { combinedText, ruledText } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import type { Deadline } from './create-deadline.ts';
import { WorktreeFailure } from './failures.ts';
import type { Start } from './start-commit.ts';

export interface AddRequest {
  readonly branchName: string;
  /** `''`: none. */
  readonly existingBranch: string;
  /** As sent, after tilde. */
  readonly worktreePath: string;
  /** The same, absolute and cleaned; an empty folder. */
  readonly worktree: string;
  readonly start: Start;
  readonly deadline: Deadline;
}

export interface Added {
  /** The branch the worktree is on. */
  readonly branch: string;
  /** Whether the branch was there before. */
  readonly attached: boolean;
  /** The deadline ended the add, and what it made is there or not. */
  readonly timedOut: boolean;
}

/** @throws WorktreeFailure when git refuses; then the folder is gone, if it is empty */
export async function addWithoutFiles(repository: Repository, request: AddRequest): Promise<Added> {
  const { branchName, existingBranch, worktreePath, worktree, start, deadline } = request;
  const rows = repository.program.services.profile.git.create;
  const timeoutMs = rows.timeoutEndsAdd ? deadline.leftMs : undefined;
  const run = (args: readonly string[]) =>
    repository.run(['worktree', 'add', ...args], { mayRunPrograms: true, timeoutMs });

  const refusal = await attach(repository, request, run);
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
  // Only an empty folder goes: whatever is in it, git or somebody else put there.
  await rmdir(worktree).catch(() => {});
  const text = shownText(repository, added);
  throw addFailed(refusal === undefined ? text : `${text} ${refusal}`);
}

/** @returns `undefined` when there is nothing to attach to, else why attaching failed */
async function attach(
  repository: Repository,
  request: AddRequest,
  run: (args: readonly string[]) => Promise<CommandResult>,
): Promise<'attached' | string | undefined> {
  const { existingBranch, worktreePath, worktree } = request;
  // A name with a leading dash is no branch git would make, and `-` means another one.
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
  const text = shownText(repository, attached);
  const after = await lstat(worktree).catch(() => undefined);
  // Somebody else's folder is not ours to add to.
  if (after?.dev !== before.dev || after.ino !== before.ino) {
    throw addFailed(text);
  }
  return `(attaching to the existing branch ${existingBranch} was refused first: ${text})`;
}

/** What a reply of creation quotes of git. */
export function shownText(repository: Repository, result: CommandResult): string {
  const rule = repository.program.services.profile.git.create.gitText;
  return rule === 'textRule' ? ruledText(result) : combinedText(result);
}

export function addFailed(text: string): WorktreeFailure {
  return new WorktreeFailure(`git worktree add failed: ${text}`, 'worktree_add_failed');
}
