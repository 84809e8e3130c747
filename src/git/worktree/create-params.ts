/** What a new worktree is asked for with, and what came of it. */

export interface CreateParams {
  /** Paths after tilde; `''` where nothing was sent. */
  readonly baseRepo: string;
  readonly worktreePath: string;
  readonly worktreeRoot: string;
  /** Of the new branch; not empty. */
  readonly branchName: string;
  readonly sourceBranch: string;
  readonly existingBranch: string;
  /** 0 or less: none. */
  readonly timeoutMs: bigint;
}

export interface CreatedWorktree {
  /** Where the branch starts; `undefined` when that is no branch. */
  readonly sourceBranch: string | undefined;
  /** The branch that is checked out. */
  readonly branch: string;
}
