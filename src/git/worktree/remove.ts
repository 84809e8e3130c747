/** `git.worktree_remove` (spec git.md §8). */
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ResultObject } from '../../wire/json.ts';
import { nestedText, placeOf } from '../query/managed-place.ts';
import { dotGitOf, entriesNaming } from '../query/worktree-entries.ts';
import { entryAt, targetOf } from '../run/control-files.ts';
import { GitRefusal, NoRepository } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { openRepository } from '../run/open-repository.ts';
import { lineOf } from '../run/output-text.ts';
import { Repository } from '../run/repository.ts';
import { checkContained, withRealParent } from './containment.ts';
import {
  checkDirectoryLink,
  checkExternalSpelling,
  checkLeadsOutside,
  checkOutsideRepository,
} from './external-root.ts';
import { refusing, WorktreeFailure } from './failures.ts';
import { guardHome } from './home-guard.ts';
import { realWay } from './real-path.ts';
import { commonDirectoryOf, registrationOf } from './registration.ts';
import { removeByGit } from './remove-by-git.ts';
import { removeOwn } from './remove-own.ts';

export interface RemoveParams {
  /** Paths after tilde; `''` where nothing was sent. */
  readonly baseRepo: string;
  readonly worktreePath: string;
  readonly worktreeRoot: string;
  readonly branchName: string;
}

/** Every failure is in the result. */
export async function removeWorktree(program: GitProgram, params: RemoveParams): Promise<ResultObject> {
  try {
    const branchKept = await remove(program, params);
    return { success: true, branchKept: branchKept ? true : undefined };
  } catch (error) {
    if (error instanceof WorktreeFailure) {
      return { success: false, error: error.message };
    }
    throw error;
  }
}

/** @returns whether the branch was kept. @throws WorktreeFailure */
async function remove(program: GitProgram, params: RemoveParams): Promise<boolean> {
  const { services } = program;
  const { remove: rows } = services.profile.git;
  const { baseRepo, worktreePath, branchName } = params;
  if (rows.containment) {
    await checkPath(program, params);
  }
  if (worktreePath !== '') {
    await guardHome(worktreePath, baseRepo, services);
  }
  if (rows.engine === 'own') {
    return removeOwn(program, { baseRepo, path: worktreePath, branchName });
  }

  const repository = new Repository(program, baseRepo);
  await removeByGit(repository, worktreePath);
  // Unmerged or unknown, checked out elsewhere: whatever becomes of it, the worktree is gone.
  if (branchName !== '') {
    await repository.run(['branch', '-D', '--', branchName], { mayRunPrograms: true });
  }
  return false;
}

async function checkPath(program: GitProgram, params: RemoveParams): Promise<void> {
  const { services } = program;
  const { baseRepo, worktreePath, worktreeRoot } = params;
  const place = await placeOf(baseRepo, services.platform.git);
  if (place.state === 'managed' || place.state === 'unresolved') {
    throw new WorktreeFailure(nestedText, 'nested_base_repo');
  }
  if (worktreeRoot !== '') {
    await checkExternal(program, params);
    return;
  }
  if (worktreePath === '') {
    throw new WorktreeFailure('failed to remove worktree: "" does not name a directory', 'unsafe_path');
  }
  await checkContained('remove', worktreePath, baseRepo, services);
  if (services.profile.git.remove.engine === 'own') {
    await checkLeaf(worktreePath, services.platform.paths.clean(worktreePath));
  }
}

/** The worktree itself is a real folder, or nothing. @throws WorktreeFailure */
async function checkLeaf(shownPath: string, worktree: string): Promise<void> {
  const found = await entryAt(worktree);
  if (found === undefined || found.isDirectory()) {
    return;
  }
  const shown = await withRealParent(shownPath);
  throw refusing(
    'remove',
    found.isSymbolicLink() ? `${shown} is a symbolic link, not a worktree directory` : `${shown} is not a directory`,
  );
}

/** A path outside the repository is removed only when it is a worktree of this very repository. @throws WorktreeFailure */
async function checkExternal(program: GitProgram, params: RemoveParams): Promise<void> {
  const { services } = program;
  const { paths } = services.platform;
  const { baseRepo, worktreePath, worktreeRoot } = params;
  const external = { root: worktreeRoot, path: worktreePath, baseRepo };
  checkExternalSpelling('remove', external, services);
  checkOutsideRepository('remove', external, services);
  const { repository, commonDirectory } = await workTreeOf(program, baseRepo);
  await checkLeadsOutside('remove', external, repository);
  if ((await targetOf(paths.clean(worktreeRoot))) === undefined) {
    throw new WorktreeFailure(
      `failed to remove worktree: the worktree location ${worktreeRoot} is not reachable (${worktreeRoot} does not exist); nothing was removed — retry once it is available, or remove the worktree by hand`,
      'unsafe_path',
    );
  }
  const worktree = paths.clean(worktreePath);
  await checkDirectoryLink('remove', dirname(worktree));
  await checkLeaf(worktreePath, worktree);
  if ((await entryAt(worktree)) === undefined) {
    return;
  }
  const doubt = await doubtAbout(worktree, worktreePath, commonDirectory, program);
  if (doubt === undefined) {
    return;
  }
  const isStale = (await entriesNaming(commonDirectory, [join(await realWay(worktree), '.git')], paths)).length === 1;
  if (isStale) {
    return;
  }
  let names: string[];
  try {
    names = await readdir(worktree);
  } catch (error) {
    throw new WorktreeFailure(
      `failed to remove worktree: could not verify that ${worktreePath} is a worktree of ${baseRepo} (${paths.reason(error)}); retry`,
      'unsafe_path',
    );
  }
  if (names.length === 0) {
    return;
  }
  throw refusing(
    'remove',
    `${worktreePath} is not a worktree of ${baseRepo} (${doubt}), so it is left in place; remove it by hand if it is a leftover`,
  );
}

/** Why the folder is not a worktree of the repository; `undefined` when it is one. */
async function doubtAbout(
  worktree: string,
  shownPath: string,
  commonDirectory: string,
  program: GitProgram,
): Promise<string | undefined> {
  const { paths } = program.services.platform;
  const dotGit = await dotGitOf(worktree, paths);
  switch (dotGit.state) {
    case 'missing':
      return `${shownPath} has no .git file`;
    case 'notRegular':
      return `${shownPath}/.git is not a regular file`;
    case 'noGitDirectory':
      return `${shownPath}/.git does not name a git dir`;
  }
  const registration = await registrationOf(worktree, commonDirectory, paths);
  return registration.state === 'found' ? undefined : `${shownPath} ${registration.reason}`;
}

async function workTreeOf(
  program: GitProgram,
  baseRepo: string,
): Promise<{ readonly repository: Repository; readonly commonDirectory: string }> {
  const unknown = (reason: string) =>
    new WorktreeFailure(
      `failed to remove worktree: cannot determine the repository's work tree: ${reason}`,
      'unsafe_path',
    );
  try {
    const { repository } = await openRepository(program, baseRepo);
    const top = await repository.run(['rev-parse', '--show-toplevel']);
    if (top.failure !== undefined) {
      throw unknown(top.failure);
    }
    const where = await repository.run(['rev-parse', '--absolute-git-dir'], { set: 'heavy' });
    if (where.failure !== undefined) {
      throw unknown(where.failure);
    }
    return { repository, commonDirectory: await commonDirectoryOf(lineOf(where), program.services.platform.paths) };
  } catch (error) {
    if (error instanceof NoRepository) {
      throw unknown('exit status 128');
    }
    if (error instanceof GitRefusal) {
      throw unknown(error.message);
    }
    throw error;
  }
}
