/** What may be removed as a worktree (spec git.md §8). */
import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Paths } from '../../../platform/paths.ts';
import { answerOf, askGitDirectory, askTopLevel } from '../query/repository-folders.ts';
import { dotGitOf } from '../query/worktree-entries.ts';
import { entryAt, targetOf } from '../run/control-files.ts';
import { GitFailure, isNoRepository } from '../run/failures.ts';
import { commonDirectoryOf } from '../run/find-git-directory.ts';
import type { GitProgram } from '../run/git-program.ts';
import { withRepository } from '../run/open-repository.ts';
import { ruledText } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import {
  checkDirectoryLink,
  checkExternalSpelling,
  checkLeadsOutside,
  checkOutsideRepository,
  type ExternalPath,
} from './external-root.ts';
import { notRemoved, refusing } from './failures.ts';
import { checkWayIsOpen } from './open-way.ts';
import { firstUnresolved, withRealParent } from './real-path.ts';
import { entriesOfWorktree, registrationOf } from './registration.ts';

/**
 * The worktree itself is a real folder, or there is nothing.
 * @param shownPath as sent, after tilde
 * @param worktree the same path, cleaned
 * @throws WorktreeFailure
 */
export async function checkRemovableLeaf(shownPath: string, worktree: string): Promise<void> {
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

/** A folder outside the repository is removed only when it is a worktree of this very repository. @throws WorktreeFailure */
export async function checkRemovableExternal(program: GitProgram, external: ExternalPath): Promise<void> {
  const { services } = program;
  const { paths } = services.platform;
  const { root, path, baseRepo } = external;
  checkExternalSpelling('remove', external, services);
  checkOutsideRepository('remove', external, services);
  const commonDirectory = await withBase(program, baseRepo, async (repository, common) => {
    await checkLeadsOutside('remove', external, repository);
    return common;
  });
  const unreachable = await whyUnreachable(paths.clean(root), root, paths);
  if (unreachable !== undefined) {
    throw notRemoved(
      `the worktree location ${root} is not reachable (${unreachable}); nothing was removed \u2014 retry once it is available, or remove the worktree by hand`,
    );
  }
  const worktree = paths.clean(path);
  await checkWayIsOpen(root, worktree, services);
  await checkDirectoryLink('remove', dirname(worktree));
  await checkRemovableLeaf(path, worktree);
  if ((await entryAt(worktree)) === undefined) {
    return;
  }
  const doubt = await doubtAbout(worktree, path, commonDirectory, program);
  if (doubt === undefined) {
    return;
  }
  const isRegistered = (await entriesOfWorktree(worktree, commonDirectory, paths)).length === 1;
  if (isRegistered) {
    return;
  }
  let names: string[];
  try {
    names = await readdir(worktree);
  } catch (error) {
    throw notRemoved(`could not verify that ${path} is a worktree of ${baseRepo} (${paths.reason(error)}); retry`);
  }
  if (names.length === 0) {
    return;
  }
  throw refusing(
    'remove',
    `${path} is not a worktree of ${baseRepo} (${doubt}), so it is left in place; remove it by hand if it is a leftover`,
  );
}

/** @returns `undefined` when the root is there, links followed */
async function whyUnreachable(root: string, shown: string, paths: Paths): Promise<string | undefined> {
  if ((await targetOf(root)) !== undefined) {
    return undefined;
  }
  const stopped = await firstUnresolved(root);
  return stopped === undefined || stopped.path === root
    ? `${shown} does not exist`
    : `lstat ${stopped.path}: ${paths.reason(stopped.error)}`;
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

/** @throws WorktreeFailure when there is no repository with a work tree */
async function withBase<T>(
  program: GitProgram,
  baseRepo: string,
  work: (repository: Repository, commonDirectory: string) => Promise<T>,
): Promise<T> {
  const unknown = (reason: string | undefined) => notRemoved(`cannot determine the repository's work tree: ${reason}`);
  try {
    return await withRepository(program, baseRepo, async (repository) => {
      const top = await askTopLevel(repository);
      if (top.failure !== undefined) {
        const isNone = top.exit?.code === 128;
        throw unknown(isNone ? `git finds no repository here: ${ruledText(top)}` : top.failure);
      }
      const where = await askGitDirectory(repository);
      const gitDirectory = answerOf(where);
      if (gitDirectory === undefined) {
        throw unknown(where.failure);
      }
      return work(repository, await commonDirectoryOf(gitDirectory, program.services.platform.paths));
    });
  } catch (error) {
    if (error instanceof GitFailure) {
      throw unknown(isNoRepository(error) ? 'exit status 128' : error.message);
    }
    throw error;
  }
}
