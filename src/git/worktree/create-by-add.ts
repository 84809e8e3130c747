/** A worktree made by `git worktree add` and a checkout (spec git.md §6.1). */
import { resolve } from 'node:path';
import type { CommandResult } from '../../base/run-command.ts';
import type { Repository } from '../run/repository.ts';
import { refuseLinkTo, refuseOptionAsBranch } from './branch-name.ts';
import { checkOut } from './checkout.ts';
import type { CreatedWorktree, CreateParams } from './create-params.ts';
import { addFailed } from './failures.ts';
import { populate } from './populate.ts';
import { quotedText } from './quoted-text.ts';
import { addWorktree, dropRegistration } from './records.ts';
import { findStart } from './start-commit.ts';

/** @throws WorktreeFailure */
export async function createByAdd(repository: Repository, params: CreateParams): Promise<CreatedWorktree> {
  const { branchName, sourceBranch, worktreePath, baseRepo } = params;
  await refuseOptionAsBranch(repository, branchName);
  await refuseLinkTo(repository, branchName);
  const start = await findStart(repository, sourceBranch);
  // A branch without a commit has no files. git refuses to leave them out, or makes such a branch again.
  const hasFiles = start.ref !== undefined || (await repository.test(['rev-parse', '--verify', '--quiet', 'HEAD']));
  const words = ['-b', branchName, '--', worktreePath, ...(start.ref === undefined ? [] : [start.ref])];
  const { result, entry } = await addWorktree(repository, {
    branch: branchName,
    args: hasFiles ? ['--no-checkout', ...words] : words,
  });
  if (result.failure !== undefined) {
    throw addFailed(quotedText(repository, result));
  }
  const worktree = resolve(baseRepo, worktreePath);
  if (hasFiles && entry !== undefined) {
    const failed = await checkOut(repository, {
      worktree,
      place: undefined,
      gitDirectory: entry,
      entry,
      revision: 'HEAD',
      held: undefined,
      timeoutMs: undefined,
    });
    if (failed !== undefined) {
      // As git does when the checkout of its own fails.
      await repository.program.services.platform.files.removeTree(worktree).catch(() => {});
      await dropRegistration(entry, repository).catch(() => {});
      throw addFailed(quotedText(repository, asOne(result, failed)));
    }
  }
  await populate(repository, worktree, undefined);
  return { sourceBranch: start.shown, branch: branchName };
}

/** What one call that adds and checks out would have printed and how it would have ended. */
function asOne(added: CommandResult, failed: CommandResult): CommandResult {
  const saysWhy = /^fatal: /m.test(failed.stderr.toString('latin1'));
  const last = Buffer.from(saysWhy ? '' : "fatal: Could not reset index file to revision 'HEAD'.\n");
  return { ...failed, combined: Buffer.concat([added.combined, failed.combined, last]) };
}
