/** The repository that a worktree is made for or removed from (spec git.md §6.2). */

import { placeOf } from '../query/managed-place.ts';
import type { GitProgram } from '../run/git-program.ts';
import { WorktreeFailure } from './failures.ts';

/** A session worktree is no repository to work from. @throws WorktreeFailure */
export async function refuseNestedBase(program: GitProgram, baseRepo: string): Promise<void> {
  const place = await placeOf(baseRepo, program.services.platform.git);
  if (place === 'managed' || place === 'unresolved') {
    throw new WorktreeFailure(
      'baseRepo is inside a managed worktrees directory (beneath .claude/worktrees, or beneath a directory holding a .claude-managed-worktrees marker), or could not be validated as a trust root',
      'nested_base_repo',
    );
  }
}
