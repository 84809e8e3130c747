/** Removal without `git worktree remove` (spec git.md §8, N+ engine). */
import { basename, join } from 'node:path';
import type { Paths } from '../../../platform/paths.ts';
import { askGitDirectory } from '../query/repository-folders.ts';
import { entriesNaming, isLocked } from '../query/worktree-entries.ts';
import { entryAt } from '../run/control-files.ts';
import { GitFailure, isNoRepository, noRepository } from '../run/failures.ts';
import { commonDirectoryOf } from '../run/find-git-directory.ts';
import type { GitProgram } from '../run/git-program.ts';
import { withRepository } from '../run/open-repository.ts';
import { lineOf } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { deleteBranch } from './delete-branch.ts';
import { emptyFolder, removeAllText } from './empty-folder.ts';
import { lockedRefusal, notRemoved, refusing, WorktreeFailure } from './failures.ts';
import { realDotGit } from './real-path.ts';
import { removeEntry } from './records.ts';
import { registrationOf } from './registration.ts';
import { removeEmptyWorktree } from './true-place.ts';

export interface OwnRemoval {
  readonly baseRepo: string;
  /** The worktree as sent, after tilde, for the texts. */
  readonly path: string;
  readonly branchName: string;
  /** Where the worktree must be, without links. */
  readonly place: string | undefined;
}

/** @returns whether the branch was kept. @throws WorktreeFailure */
export async function removeOwn(program: GitProgram, removal: OwnRemoval): Promise<boolean> {
  const { path } = removal;
  const worktree = program.services.platform.paths.clean(path);
  const exists = (await entryAt(worktree)) !== undefined;
  try {
    return await withBase(program, removal.baseRepo, path, exists, (repository, commonDirectory) =>
      removeFrom(repository, commonDirectory, removal, worktree, exists),
    );
  } catch (error) {
    // There is neither a repository nor a worktree.
    if (isNoRepository(error)) {
      return false;
    }
    throw error;
  }
}

/** @throws WorktreeFailure */
async function removeFrom(
  repository: Repository,
  commonDirectory: string,
  removal: OwnRemoval,
  worktree: string,
  exists: boolean,
): Promise<boolean> {
  const { program } = repository;
  const { platform } = program.services;
  const { path } = removal;
  const { verified, naming, isLocked } = await registrationsOf(worktree, commonDirectory, platform.paths, exists).catch(
    (error) => {
      throw notExamined(path, 'its registrations could not be examined', error);
    },
  );
  if (isLocked) {
    if (exists) {
      throw lockedRefusal(path);
    }
    throw refusing(
      'remove',
      `${path} is gone but its registration is locked (git worktree lock); unlock it to remove the registration and branch`,
    );
  }

  if (exists) {
    await removeFolder(worktree, removal.place, program);
  }
  const entry = verified ?? (naming.length === 1 ? naming[0] : undefined);
  if (entry !== undefined) {
    try {
      await removeEntry(entry, platform.files);
    } catch (error) {
      const reason = removeAllText(basename(entry), error, platform.paths);
      throw new WorktreeFailure(`removed the worktree but could not drop its registration (${reason})`, 'unsafe_path');
    }
  }
  const { state } = await deleteBranch(repository, commonDirectory, removal.branchName);
  return state !== 'gone' && state !== 'unsafeName';
}

/** @throws WorktreeFailure; GitFailure `noRepository` when there is neither a repository nor a worktree */
async function withBase<T>(
  program: GitProgram,
  baseRepo: string,
  path: string,
  exists: boolean,
  work: (repository: Repository, commonDirectory: string) => Promise<T>,
): Promise<T> {
  try {
    return await withRepository(program, baseRepo, async (repository) => {
      const where = await askGitDirectory(repository);
      if (where.exit?.code === 128) {
        throw noRepository();
      }
      if (where.failure !== undefined) {
        throw new GitFailure('callFailed', where.failure);
      }
      return work(repository, await commonDirectoryOf(lineOf(where), program.services.platform.paths));
    });
  } catch (error) {
    if (!(error instanceof GitFailure)) {
      throw error;
    }
    if (exists) {
      throw notExamined(path, 'its registrations could not be examined', error);
    }
    throw error.kind === 'noRepository' ? error : notExamined(path, error.message, error);
  }
}

function notExamined(path: string, why: string, cause: unknown): WorktreeFailure {
  return notRemoved(`could not check whether ${path} is locked (${why}); retry`, { cause });
}

interface Registrations {
  /** The one that the worktree and its registration agree on. */
  readonly verified: string | undefined;
  /** All that name the worktree. */
  readonly naming: readonly string[];
  readonly isLocked: boolean;
}

/** @throws whatever keeps a registration from being looked at */
async function registrationsOf(
  worktree: string,
  commonDirectory: string,
  paths: Paths,
  exists: boolean,
): Promise<Registrations> {
  const registration = exists
    ? await registrationOf(worktree, commonDirectory, paths)
    : ({ state: 'doubtful' } as const);
  const dotGitFiles = [await realDotGit(worktree), join(worktree, '.git')];
  const naming = await entriesNaming(commonDirectory, dotGitFiles, paths);
  const verified = registration.state === 'found' ? registration.entry : undefined;
  const lockable = verified === undefined ? naming : [verified];
  return { verified, naming, isLocked: (await Promise.all(lockable.map(isLocked))).includes(true) };
}

/** Deletes the `.git` file last, so that a removal which is cut short leaves a folder that is still a worktree. @throws WorktreeFailure */
async function removeFolder(worktree: string, place: string | undefined, program: GitProgram): Promise<void> {
  const { platform } = program.services;
  const found = await entryAt(worktree);
  let stuck = found?.isDirectory() ? await emptyFolder(worktree, platform, { last: '.git', place }) : undefined;
  if (stuck === undefined && found?.isDirectory()) {
    await removeEmptyWorktree(platform.files, worktree, place).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') {
        stuck = removeAllText(basename(worktree), error, platform.paths);
      }
    });
  }
  if (stuck !== undefined) {
    throw notRemoved(stuck);
  }
}
