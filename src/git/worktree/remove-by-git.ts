/**
 * Removal by `git worktree remove`, with a delete of our own where git refuses (spec git.md §8, S and N).
 *
 * git deletes a work tree by path, so whoever swaps a folder in it for a link meanwhile would lead it out. Therefore the
 * work tree is first moved to a name beside it: git finds nothing to delete and only drops the registration, and the
 * content goes by descriptor afterwards. Where git refuses, or takes too long, it is moved back.
 */
import { randomBytes } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { goDuration } from '../../base/durations.ts';
import { isLocked } from '../query/worktree-entries.ts';
import { entryAt } from '../run/control-files.ts';
import { combinedText, lineOf } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { refusing, WorktreeFailure } from './failures.ts';
import { commonDirectoryOf, registrationOf } from './registration.ts';

/** @param path as sent, after tilde. @throws WorktreeFailure */
export async function removeByGit(repository: Repository, path: string): Promise<void> {
  const { platform, profile, settings } = repository.program.services;
  const guarded = profile.git.remove.engine === 'guardedGit';
  // git counts from the repository, a delete of ours from our own working directory.
  const gitTarget = resolve(repository.directory, path);
  const ownTarget = resolve(path);
  const registered = guarded ? await registrationBefore(repository, ownTarget) : undefined;

  if (path !== '' && (await entryAt(gitTarget))?.isSymbolicLink()) {
    // git would follow it to a worktree that was not named.
    await deleteOrFail(ownTarget, '', repository);
    return;
  }
  const aside = path === '' ? undefined : await moveAside(gitTarget, repository);
  // Forced, git looks at no file, so there is no program it could start.
  const removed = await repository.run(['worktree', 'remove', '--force', '--', path], { untranslated: guarded });
  const output = combinedText(removed);
  if (removed.failure === undefined) {
    if (aside === undefined) {
      return;
    }
    try {
      await platform.files.removeTree(aside);
    } catch (error) {
      await moveBack(aside, gitTarget);
      const reason = platform.paths.reason(error);
      const said = `error: failed to delete '${path}': ${reason.charAt(0).toUpperCase()}${reason.slice(1)}`;
      throw notRemoved(said, (error as Error).message.replaceAll(aside, gitTarget));
    }
    return;
  }
  if (aside !== undefined) {
    await moveBack(aside, gitTarget);
  }
  if (removed.timedOut) {
    throw new WorktreeFailure(
      `git worktree remove timed out after ${goDuration(settings.gitTimeoutMs)}; no cleanup was attempted, and git may have partially removed the worktree`,
      'timeout',
    );
  }
  if (guarded && output.includes('cannot remove a locked working tree')) {
    throw lockedRefusal(path);
  }
  if (path === '') {
    return;
  }
  if (path === '.' || /[\\/]\.$/.test(path)) {
    throw notRemoved(output, `RemoveAll ${path}: ${platform.paths.reasonForCode('EINVAL')}`);
  }
  await deleteOrFail(ownTarget, output, repository);
  if (registered !== undefined && !(await isLocked(registered))) {
    await platform.files.removeTree(registered).catch(() => {});
  }
}

export function lockedRefusal(path: string): WorktreeFailure {
  return refusing('remove', `${path} is locked (git worktree lock); unlock it to remove it`);
}

async function deleteOrFail(target: string, output: string, repository: Repository): Promise<void> {
  try {
    await repository.program.services.platform.files.removeTree(target);
  } catch (error) {
    throw notRemoved(output, (error as Error).message);
  }
}

function notRemoved(output: string, reason: string): WorktreeFailure {
  return new WorktreeFailure(
    `failed to remove worktree: ${output}; manual cleanup also failed: ${reason}`,
    'unsafe_path',
  );
}

/** The registration that the worktree's `.git` file names, if the two agree: after the delete nothing tells any more. */
async function registrationBefore(repository: Repository, target: string): Promise<string | undefined> {
  const { paths } = repository.program.services.platform;
  const where = await repository.run(['rev-parse', '--absolute-git-dir'], { set: 'heavy' });
  if (where.failure !== undefined) {
    return undefined;
  }
  const registration = await registrationOf(target, await commonDirectoryOf(lineOf(where), paths), paths);
  return registration.state === 'found' ? registration.entry : undefined;
}

/** @returns where it is now; `undefined`: it is not there, not a folder, or cannot be moved, and then git does what it can */
async function moveAside(target: string, repository: Repository): Promise<string | undefined> {
  const { paths } = repository.program.services.platform;
  if (!(await entryAt(target))?.isDirectory()) {
    return undefined;
  }
  // git works in there.
  if (paths.isWithin(resolve(repository.directory), target)) {
    return undefined;
  }
  const aside = join(dirname(target), `.${basename(target)}.removing-${randomBytes(6).toString('hex')}`);
  try {
    await rename(target, aside);
    return aside;
  } catch {
    return undefined;
  }
}

/** @throws WorktreeFailure when somebody made something new in the place */
async function moveBack(aside: string, target: string): Promise<void> {
  try {
    if ((await entryAt(aside)) !== undefined) {
      await rename(aside, target);
    }
  } catch (error) {
    throw new WorktreeFailure(
      `failed to remove worktree: ${target} was moved to ${aside} and could not be moved back`,
      'unsafe_path',
      { cause: error },
    );
  }
}
