/** Failures that `git.worktree_create` and `git.worktree_remove` answer in their result (spec git.md §1, §6, §8). */

export type ErrorCode =
  | 'not_a_repo'
  | 'worktree_add_failed'
  | 'nested_base_repo'
  | 'unsafe_path'
  | 'symlinked_component'
  | 'mkdir_failed'
  | 'timeout';

export type Verb = 'create' | 'remove';

/** `message` is the wire text; `code` is shown by create only. */
export class WorktreeFailure extends Error {
  override readonly name = 'WorktreeFailure';
  readonly code: ErrorCode;
  /** A branch with commits of its own was left where it is. */
  readonly branchKept: boolean;

  constructor(
    message: string,
    code: ErrorCode,
    options: { readonly branchKept?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.branchKept = options.branchKept ?? false;
  }
}

/** The refusal of a path that is not a place for a worktree. */
export function refusing(verb: Verb, reason: string, code: ErrorCode = 'unsafe_path'): WorktreeFailure {
  return new WorktreeFailure(`refusing to ${verb} worktree: ${reason}`, code);
}

export function noParent(reason: string): WorktreeFailure {
  return new WorktreeFailure(`failed to create parent directory: ${reason}`, 'mkdir_failed');
}
