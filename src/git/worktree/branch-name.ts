import type { Repository } from '../run/repository.ts';
import { addFailed } from './failures.ts';
import { quotedText } from './quoted-text.ts';

/**
 * A name with a leading dash is refused here, in the words of git, because `git worktree add` passes the name on to
 * `git branch` in a place where it would count as an option such as `-D`.
 * @throws WorktreeFailure
 */
export async function refuseOptionAsBranch(repository: Repository, name: string): Promise<void> {
  if (!name.startsWith('-')) {
    return;
  }
  const checked = await repository.run(['check-ref-format', '--branch', name]);
  throw addFailed(
    checked.failure === undefined ? `'${name}' is not a valid branch name` : quotedText(repository, checked),
  );
}
