/** Undoing a worktree whose checkout failed or came too late (spec git.md §6.4.7). */
import { basename } from 'node:path';
import type { Repository } from '../run/repository.ts';
import { changeBranch } from './branch-change.ts';
import { type BranchOutcome, deleteBranch } from './delete-branch.ts';
import { emptyFolder, removeAllText } from './empty-folder.ts';
import { WorktreeFailure } from './failures.ts';
import { dropLog, removeEntry } from './records.ts';
import type { TestedRegistration } from './tested-registration.ts';
import { removeEmptyWorktree } from './true-place.ts';

export interface Rollback {
  /** The worktree's path as sent, for the texts. */
  readonly shownPath: string;
  /** The same path, absolute and cleaned. */
  readonly worktree: string;
  /** Where it must be, without links. */
  readonly place: string | undefined;
  /** The registration; `undefined` when there is none to delete. */
  readonly entry: string | undefined;
  /** The registration that was tested, held open. */
  readonly tested: TestedRegistration | undefined;
  readonly commonDirectory: string;
  /** The branch this request made; `undefined`: it attached to one that was there, or made none. */
  readonly createdBranch: string | undefined;
}

/** Undoes as much as it can. @returns the failure, with the steps that could not be undone added to its text */
export async function rollBack(
  repository: Repository,
  rollback: Rollback,
  failure: WorktreeFailure,
): Promise<WorktreeFailure> {
  const { message, branchKept } = await undo(repository, rollback);
  return new WorktreeFailure(failure.message + message, failure.code, { branchKept, cause: failure });
}

interface Undone {
  /** What could not be undone, to be added to the error; `''` when everything was. */
  readonly message: string;
  readonly branchKept: boolean;
}

async function undo(repository: Repository, rollback: Rollback): Promise<Undone> {
  const { paths, files } = repository.program.services.platform;
  const { shownPath, worktree, entry, createdBranch } = rollback;
  const removeFolder = () => removeEmptyWorktree(files, worktree, rollback.place);
  const unfinished = (what: string) => `; and the undo could not finish for ${shownPath}: ${what}`;

  const stuck = await emptyFolder(worktree, repository.program.services.platform, { place: rollback.place });
  if (stuck !== undefined) {
    const remains =
      createdBranch === undefined
        ? 'the worktree directory and its registration both remain'
        : 'the worktree directory, its registration, and the branch all remain';
    return {
      message: unfinished(`${remains}; remove them by hand before retrying (${stuck})`),
      branchKept: false,
    };
  }
  const registered = entry === undefined ? undefined : await failureToUnregister(entry, rollback, repository);
  if (registered !== undefined) {
    // git may still take the folder for a worktree, so its branch stays.
    await removeFolder().catch(() => {});
    const remains =
      createdBranch === undefined
        ? 'the worktree registration remains; remove it by hand before retrying'
        : 'the worktree registration and the branch remain; remove them by hand before retrying';
    return { message: unfinished(`${remains} (${registered})`), branchKept: false };
  }
  const branch = createdBranch === undefined ? undefined : await undoBranch(repository, rollback, createdBranch);
  const folder = await removeFolder().then(
    () => undefined,
    (error: unknown) =>
      `the worktree directory remains (re-populated while undoing?); remove it by hand before retrying (removeat ${basename(worktree)}: ${paths.reason(error)})`,
  );
  return { message: together(branch?.text, folder), branchKept: branch?.kept ?? false };

  function together(ofBranch: string | undefined, ofFolder: string | undefined): string {
    if (ofBranch === undefined || ofFolder === undefined) {
      const only = ofFolder ?? ofBranch;
      return only === undefined ? '' : unfinished(only);
    }
    return repository.program.services.profile.git.remove.branch === 'force'
      ? unfinished(ofBranch) + unfinished(ofFolder)
      : unfinished(`${ofFolder}; ${ofBranch.replace(worktreeGone, '')}`);
  }
}

/** @returns wire text; `undefined` when the registration is gone */
async function failureToUnregister(
  entry: string,
  { tested }: Rollback,
  repository: Repository,
): Promise<string | undefined> {
  const { files, paths } = repository.program.services.platform;
  const fault = tested?.entry === entry ? await tested.fault() : undefined;
  if (fault !== undefined) {
    return fault;
  }
  try {
    await removeEntry(entry, files);
    return undefined;
  } catch (error) {
    return removeAllText(basename(entry), error, paths);
  }
}

const worktreeGone = 'the worktree itself was removed, but ';

async function undoBranch(
  repository: Repository,
  rollback: Rollback,
  branch: string,
): Promise<{ readonly text: string | undefined; readonly kept: boolean }> {
  if (repository.program.services.profile.git.remove.branch === 'force') {
    const deleted = await changeBranch(repository, { branch, change: 'delete' }, () =>
      repository.run(['update-ref', '--no-deref', '-d', `refs/heads/${branch}`], { changes: true }),
    );
    await dropLog(repository, branch);
    const text = deleted.failure === undefined ? undefined : notDeletedText(branch, deleted.failure);
    return { text, kept: false };
  }
  const outcome = await deleteBranch(repository, rollback.commonDirectory, branch);
  return { text: keptText(branch, outcome), kept: outcome.state === 'unique' };
}

function keptText(branch: string, outcome: BranchOutcome): string | undefined {
  switch (outcome.state) {
    case 'gone':
      return undefined;
    case 'unsafeName':
      return `branch ${branch} left in place (its name is unsafe to pass to update-ref); delete it by hand`;
    case 'unique':
      return `${worktreeGone}branch ${branch} was left in place: it now has commits no other branch or remote-tracking ref reaches. To keep that work, push the branch or rename it. To discard it, run git branch -D ${branch}. This branch name cannot be reused until the branch is renamed or deleted`;
    case 'unchecked': {
      const detail = outcome.failure === undefined ? '' : ` (${outcome.failure})`;
      return `branch ${branch} still exists; delete it by hand (for example: git branch -d ${branch}, which git refuses if that would lose commits) before retrying this branch name: could not check whether another branch or remote-tracking ref reaches its commits${detail}`;
    }
    case 'notDeleted': {
      const advice = outcome.isLocked
        ? `. A lock refs/heads/${branch}.lock is also present: if another git process is running against this repository, the lock may be live and clears on its own; if none is, it is stale debris of the interrupted delete \u2014 remove the lock file by hand too`
        : '';
      return notDeletedText(branch, outcome.failure, advice);
    }
  }
}

function notDeletedText(branch: string, failure: string, advice = ''): string {
  return `branch ${branch} still exists; delete it by hand (for example: git branch -D ${branch}) before retrying this branch name${advice}: ${failure}`;
}
