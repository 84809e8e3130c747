import type { Repository } from '../run/repository.ts';
import { addFailed } from './failures.ts';
import { linkOnTheWayText } from './held-way.ts';
import { quotedText } from './quoted-text.ts';
import { linkOnTheWayTo } from './records.ts';

/** Whether git takes `refs/heads/<name>` for the name of a ref as it stands (git-check-ref-format(1)). */
export function isBranchName(name: string): boolean {
  return (
    name !== '' &&
    !/[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/$|\.$/.test(name) &&
    name.split('/').every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock'))
  );
}

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
    throw addFailed(linkOnTheWayText(link));
  }
}
