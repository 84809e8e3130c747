import type { Repository } from '../run/repository.ts';
import { addFailed } from './failures.ts';
import { quotedText } from './quoted-text.ts';
import { linkOnTheWayTo } from './records.ts';

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

/** git would make the branch in another place than in the repository. @throws WorktreeFailure */
export async function refuseLinkTo(repository: Repository, branch: string): Promise<void> {
  const link = await linkOnTheWayTo(repository, branch);
  if (link !== undefined) {
    throw addFailed(
      `${link} is a symbolic link, and the branch would be written through it; replace it by a real folder`,
    );
  }
}
