/**
 * Removal by `git worktree remove`, with a delete of our own where git refuses (spec git.md §8, S and N).
 *
 * git deletes a work tree by path, so another process could swap a folder in it for a link and make git delete elsewhere.
 * Therefore the work tree is first moved to a name beside it. Then git finds nothing to delete and only drops the
 * registration, and we delete the content by descriptor afterwards. When git refuses, or takes too long, the work tree is
 * moved back.
 */
import { randomBytes } from 'node:crypto';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import type { FileOperations } from '../../../platform/files.ts';
import { goDuration } from '../../base/durations.ts';
import type { CommandResult } from '../../base/run-command.ts';
import { answerOf, askGitDirectory } from '../query/repository-folders.ts';
import { isLocked, recordsIn } from '../query/worktree-entries.ts';
import { entryAt } from '../run/control-files.ts';
import { commonDirectoryOf } from '../run/find-git-directory.ts';
import { combinedText } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { lockedRefusal, notRemoved, WorktreeFailure } from './failures.ts';
import { guardHome } from './home-guard.ts';
import { realDotGit } from './real-path.ts';
import { dropRegistration, lendRegistrations, removeEntry } from './records.ts';
import { registrationOf } from './registration.ts';

/** @param path as sent, after tilde. @throws WorktreeFailure */
export async function removeByGit(repository: Repository, path: string): Promise<void> {
  const { platform, profile, settings } = repository.program.services;
  const guarded = profile.git.remove.engine === 'guardedGit';
  // git counts a relative path from the repository, our own delete counts it from our working directory.
  const gitTarget = resolve(repository.directory, path);
  const ownTarget = resolve(path);
  const registered = guarded ? await registrationBefore(repository, ownTarget) : undefined;

  if (path !== '' && (await entryAt(gitTarget))?.isSymbolicLink()) {
    // git would follow the link to a worktree that was not named.
    await deleteOrFail(ownTarget, '', repository);
    return;
  }
  const deleted = await lendRegistrations(repository);
  const aside = path === '' ? undefined : await moveAside(gitTarget, repository);
  const removed = await removeRegistered(repository, path, guarded);
  const output = combinedText(removed);
  if (removed.failure === undefined) {
    for (const entry of await deleted()) {
      await dropRegistration(entry, repository).catch(() => {});
    }
    if (aside === undefined) {
      return;
    }
    try {
      await platform.files.removeTree(aside);
    } catch (error) {
      await moveBack(aside, gitTarget, platform.files);
      const reason = platform.paths.reason(error);
      const said = `error: failed to delete '${path}': ${reason.charAt(0).toUpperCase()}${reason.slice(1)}`;
      throw neitherWay(said, (error as Error).message.replaceAll(aside, gitTarget));
    }
    return;
  }
  if (aside !== undefined) {
    await moveBack(aside, gitTarget, platform.files);
  }
  if (removed.timedOut) {
    throw new WorktreeFailure(
      `git worktree remove timed out after ${goDuration(settings.gitTimeoutMs)}; no cleanup was attempted, and git may have partially removed the worktree`,
      'timeout',
    );
  }
  // A git that did not run, or was ended, has not said that there is no such worktree.
  if (removed.exit === undefined || removed.exit.signal !== undefined) {
    throw notRemoved(`git could not be run (${removed.failure}); nothing was removed, try again`);
  }
  if (guarded && output.includes('cannot remove a locked working tree')) {
    throw lockedRefusal(path);
  }
  const intact = aside === undefined ? await intactWorktree(repository, path) : undefined;
  if (intact !== undefined) {
    // Only that the registrations were copies kept git from removing it.
    await guardHome(intact.worktree, repository.directory, repository.program.services);
    await deleteOrFail(intact.worktree, output, repository);
    await dropRegistration(intact.entry, repository).catch(() => {});
    return;
  }
  if (path === '') {
    return;
  }
  if (path === '.' || /[\\/]\.$/.test(path)) {
    throw neitherWay(output, `RemoveAll ${path}: ${platform.paths.reasonForCode('EINVAL')}`);
  }
  await deleteOrFail(ownTarget, output, repository);
  if (registered !== undefined && !(await isLocked(registered))) {
    await removeEntry(registered, platform.files).catch(() => {});
  }
}

/** git judges the repository first, because the git directory of the removal is ours. */
async function removeRegistered(repository: Repository, path: string, untranslated: boolean): Promise<CommandResult> {
  const judged = await repository.run(['rev-parse', '--git-dir'], { untranslated });
  return judged.failure === undefined
    ? repository.run(['worktree', 'remove', '--force', '--', path], { changes: true, untranslated })
    : judged;
}

async function deleteOrFail(target: string, output: string, repository: Repository): Promise<void> {
  try {
    await repository.program.services.platform.files.removeTree(target);
  } catch (error) {
    throw neitherWay(output, (error as Error).message);
  }
}

function neitherWay(output: string, reason: string): WorktreeFailure {
  return notRemoved(`${output}; manual cleanup also failed: ${reason}`);
}

/**
 * The worktree that git takes such a path for (git-worktree(1) "worktree"): its place, or the end of its place when no other
 * worktree ends so.
 * @returns `undefined` when there is none, it is locked, or it and its registration do not name each other
 */
async function intactWorktree(
  repository: Repository,
  path: string,
): Promise<{ readonly worktree: string; readonly entry: string } | undefined> {
  const { paths } = repository.program.services.platform;
  const commonDirectory = repository.found?.commonDirectory;
  if (commonDirectory === undefined || path === '') {
    return undefined;
  }
  const records = await recordsIn(commonDirectory, paths);
  const place = await realDotGit(resolve(repository.directory, path));
  const bySuffix = isAbsolute(path) ? [] : records.filter(({ dotGit }) => dotGit.endsWith(join(sep, path, '.git')));
  const record = records.find(({ dotGit }) => dotGit === place) ?? (bySuffix.length === 1 ? bySuffix[0] : undefined);
  if (record === undefined) {
    return undefined;
  }
  const worktree = dirname(record.dotGit);
  const { state } = await registrationOf(worktree, commonDirectory, paths);
  return state === 'found' && !(await isLocked(record.entry)) ? { worktree, entry: record.entry } : undefined;
}

/** The registration of the worktree. It is read before the delete, which removes the only evidence, the `.git` file. */
async function registrationBefore(repository: Repository, target: string): Promise<string | undefined> {
  const { paths } = repository.program.services.platform;
  const gitDirectory = answerOf(await askGitDirectory(repository));
  if (gitDirectory === undefined) {
    return undefined;
  }
  const registration = await registrationOf(target, await commonDirectoryOf(gitDirectory, paths), paths);
  return registration.state === 'found' ? registration.entry : undefined;
}

/**
 * @returns the new path; `undefined` when there is no folder or it cannot be moved, and then git removes it as git does
 */
async function moveAside(target: string, repository: Repository): Promise<string | undefined> {
  const { files, paths } = repository.program.services.platform;
  if (!(await entryAt(target))?.isDirectory()) {
    return undefined;
  }
  // git itself will work in the folder or below it.
  if (paths.isWithin(resolve(repository.directory), target)) {
    return undefined;
  }
  const aside = join(dirname(target), `.${basename(target)}.removing-${randomBytes(6).toString('hex')}`);
  try {
    await files.rename(target, aside);
    return aside;
  } catch {
    return undefined;
  }
}

/** @throws WorktreeFailure when the place is taken by now */
async function moveBack(aside: string, target: string, files: FileOperations): Promise<void> {
  try {
    if ((await entryAt(aside)) !== undefined) {
      await files.rename(aside, target);
    }
  } catch (error) {
    throw notRemoved(`${target} was moved to ${aside} and could not be moved back`, { cause: error });
  }
}
