/** Deleting a session's branch without losing work (spec git.md §7). */
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { entryAt } from '../run/control-files.ts';
import { linesOf } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { changeBranch } from './branch-change.ts';
import { dropLog, linkOnTheWayTo } from './records.ts';

export type BranchOutcome =
  /** There is no branch of the name any more, or it is no name of a branch. */
  | { readonly state: 'gone' }
  /** The branch has commits that no other branch or remote-tracking ref reaches. */
  | { readonly state: 'unique' }
  /** Whether it has such commits could not be found out. */
  | { readonly state: 'unchecked'; readonly failure: string | undefined }
  /** `isLocked`: git's lock file of the branch is there. */
  | { readonly state: 'notDeleted'; readonly failure: string; readonly isLocked: boolean }
  /** The name reads like an option or a command to git's `update-ref`. */
  | { readonly state: 'unsafeName' };

const mostBranches = 10_000;
const checkMs = 60_000;
const deleteMs = 5_000;
const deleteGraceMs = 5_000;

/** Deletes the branch when another local branch or a remote-tracking ref reaches its tip. Tags do not count. */
export function deleteBranch(repository: Repository, commonDirectory: string, branch: string): Promise<BranchOutcome> {
  if (branch === '') {
    return Promise.resolve({ state: 'gone' });
  }
  if (/^[-+]/.test(branch)) {
    return Promise.resolve({ state: 'unsafeName' });
  }
  return repository.program.branchDeletions.run(commonDirectory, () =>
    deleteIfReached(repository, commonDirectory, branch),
  );
}

async function deleteIfReached(
  repository: Repository,
  commonDirectory: string,
  branch: string,
): Promise<BranchOutcome> {
  const deadline = performance.now() + checkMs;
  const limit = () => ({ timeoutMs: Math.max(1, deadline - performance.now()) });
  const ref = `refs/heads/${branch}`;

  const listed = await repository.run(
    ['for-each-ref', `--count=${mostBranches + 1}`, '--format=%(objectname)%00%(refname)%00%(symref)', 'refs/heads/'],
    limit(),
  );
  if (listed.failure !== undefined) {
    return { state: 'unchecked', failure: listed.failure };
  }
  const branches = linesOf(listed.stdout).map((line) => {
    const [tip = '', name = '', target = ''] = line.split('\0');
    return { tip, name, isSymbolic: target !== '' };
  });
  const sameButForCase = branches.some(({ name }) => name !== ref && name.toLowerCase() === ref.toLowerCase());
  // There are more branches than are looked at, or two names that a file system may take for the same.
  if (branches.length > mostBranches || sameButForCase) {
    return { state: 'unchecked', failure: undefined };
  }

  const found = branches.find(({ name }) => name === ref);
  if (found === undefined) {
    const asked = await repository.run(['rev-parse', '--verify', '--quiet', `${ref}^{commit}`], limit());
    return asked.exit?.code === 1 ? { state: 'gone' } : { state: 'unchecked', failure: asked.failure };
  }

  const others = branches.filter(({ name, isSymbolic }) => name !== ref && !isSymbolic);
  const unreached = await repository.run(
    ['rev-list', '-n', '1', found.tip, '--not', '--remotes', '--not', '--stdin', '--'],
    {
      ...limit(),
      options: ['-c', 'core.commitGraph=false'],
      input: Buffer.from(others.map(({ name }) => `^${name}\n`).join('')),
    },
  );
  if (unreached.failure !== undefined) {
    return { state: 'unchecked', failure: unreached.failure };
  }
  if (unreached.stdout.length > 0) {
    return { state: 'unique' };
  }

  const link = await linkOnTheWayTo(repository, branch);
  if (link !== undefined) {
    return { state: 'notDeleted', failure: `${link} is a symbolic link`, isLocked: false };
  }
  const deleted = await changeBranch(repository, { branch, change: 'delete' }, () =>
    repository.run(['update-ref', '--no-deref', '-d', ref, found.tip], {
      changes: true,
      timeoutMs: deleteMs,
      terminateGraceMs: deleteGraceMs,
    }),
  );
  if (deleted.failure !== undefined) {
    const isLocked = (await entryAt(join(commonDirectory, `${ref}.lock`))) !== undefined;
    return { state: 'notDeleted', failure: deleted.failure, isLocked };
  }
  await dropLog(repository, branch);
  return { state: 'gone' };
}
