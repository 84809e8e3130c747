/** Failures that `git.worktree_create` and `git.worktree_remove` answer in their result (spec git.md §1, §6, §8). */

export type WorktreeErrorCode =
  | 'not_a_repo'
  | 'worktree_add_failed'
  | 'nested_base_repo'
  | 'unsafe_path'
  | 'symlinked_component'
  | 'mkdir_failed'
  | 'timeout';

export type WorktreeVerb = 'create' | 'remove';

/** `message` is the wire text; only `git.worktree_create` tells the `code`. */
export class WorktreeFailure extends Error {
  override readonly name = 'WorktreeFailure';
  readonly code: WorktreeErrorCode;
  /** A branch with commits of its own was left where it is. */
  readonly branchKept: boolean;

  constructor(
    message: string,
    code: WorktreeErrorCode,
    options: { readonly branchKept?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.branchKept = options.branchKept ?? false;
  }
}

/** The path is not a place for a worktree. */
export function refusing(verb: WorktreeVerb, reason: string, code: WorktreeErrorCode = 'unsafe_path'): WorktreeFailure {
  return new WorktreeFailure(`refusing to ${verb} worktree: ${reason}`, code);
}

/** A folder above the worktree could not be made. */
export function noParent(reason: string): WorktreeFailure {
  return new WorktreeFailure(`failed to create parent directory: ${reason}`, 'mkdir_failed');
}

/** The worktree could not be removed. */
export function notRemoved(reason: string, options: { readonly cause?: unknown } = {}): WorktreeFailure {
  return new WorktreeFailure(`failed to remove worktree: ${reason}`, 'unsafe_path', options);
}

/** `git worktree add`, or the checkout after it, failed. */
export function addFailed(reason: string, step: '' | ' (checkout)' = ''): WorktreeFailure {
  return new WorktreeFailure(`git worktree add failed${step}: ${reason}`, 'worktree_add_failed');
}

/** The worktree is locked (`git worktree lock`), so it stays. */
export function lockedRefusal(path: string): WorktreeFailure {
  return refusing('remove', `${path} is locked (git worktree lock); unlock it to remove it`);
}
