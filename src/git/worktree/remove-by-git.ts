/**
 * Removal by `git worktree remove`, with a delete of our own where git refuses (spec git.md §8, S and N).
 *
 * git deletes a work tree by path, so another process could swap a folder in it for a link and make git delete elsewhere.
 * Therefore the work tree is first moved to a name beside it. Then git finds nothing to delete and only drops the
 * registration, and we delete the content by descriptor afterwards. When git refuses, or takes too long, the work tree is
 * moved back.
 */
import { randomBytes } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { assertMayGo } from '../../../platform/common/removal-guard.ts';
import type { FolderHandle } from '../../../platform/files.ts';
import { goDuration } from '../../base/durations.ts';
import type { CommandResult } from '../../base/run-command.ts';
import { answerOf, askGitDirectory } from '../query/repository-folders.ts';
import { isLocked, recordsIn } from '../query/worktree-entries.ts';
import { entryAt } from '../run/control-files.ts';
import { commonDirectoryOf } from '../run/find-git-directory.ts';
import { combinedText } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { lockedRefusal, notRemoved, WorktreeFailure } from './failures.ts';
import { codeOf } from './held-folders.ts';
import { guardHome } from './home-guard.ts';
import { realDotGit } from './real-path.ts';
import { dropRegistration, lendRegistrations, removeEntry } from './records.ts';
import { registrationOf } from './registration.ts';
import { assertPlace, inPlace, NotInPlace } from './true-place.ts';

/**
 * @param path as sent, after tilde
 * @param place where the worktree must be, without links; `undefined`: wherever its path leads
 * @throws WorktreeFailure
 */
export async function removeByGit(repository: Repository, path: string, place: string | undefined): Promise<void> {
  const { platform, profile, settings } = repository.program.services;
  const guarded = profile.git.remove.engine === 'guardedGit';
  // git counts a relative path from the repository, our own delete counts it from our working directory.
  const gitTarget = resolve(repository.directory, path);
  const ownTarget = resolve(path);
  const registered = guarded ? await registrationBefore(repository, ownTarget) : undefined;

  if (path !== '' && (await entryAt(gitTarget))?.isSymbolicLink()) {
    // git would follow the link to a worktree that was not named.
    await deleteOrFail(ownTarget, { place, output: '' }, repository);
    return;
  }
  const deleted = await lendRegistrations(repository);
  const aside = path === '' ? undefined : await WorktreeAside.move(gitTarget, place, repository);
  const removed = await removeRegistered(repository, path, guarded).catch(async (error: unknown) => {
    await aside?.moveBack().finally(() => aside.close());
    throw error;
  });
  const output = combinedText(removed);
  if (removed.failure === undefined) {
    for (const entry of await deleted()) {
      await dropRegistration(entry, repository).catch(() => {});
    }
    try {
      await aside?.remove();
    } catch (error) {
      await aside?.moveBack();
      const reason = platform.paths.reason(error);
      const said = `error: failed to delete '${path}': ${reason.charAt(0).toUpperCase()}${reason.slice(1)}`;
      throw neitherWay(said, aside?.shown(error) ?? '');
    } finally {
      await aside?.close();
    }
    return;
  }
  try {
    await aside?.moveBack();
  } finally {
    await aside?.close();
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
    await deleteOrFail(intact.worktree, { place, output }, repository);
    await dropRegistration(intact.entry, repository).catch(() => {});
    return;
  }
  if (path === '') {
    return;
  }
  if (path === '.' || /[\\/]\.$/.test(path)) {
    throw neitherWay(output, `RemoveAll ${path}: ${platform.paths.reasonForCode('EINVAL')}`);
  }
  await deleteOrFail(ownTarget, { place, output }, repository);
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

interface Deletion {
  /** Where the worktree must be, without links; `undefined`: wherever its path leads. */
  readonly place: string | undefined;
  /** What git has said. */
  readonly output: string;
}

async function deleteOrFail(target: string, { place, output }: Deletion, repository: Repository): Promise<void> {
  const { platform } = repository.program.services;
  try {
    if (place === undefined) {
      await platform.files.removeTree(target);
      return;
    }
    await assertMayGo(target, platform);
    const above = await realpath(dirname(target));
    await inPlace(platform.files, above, dirname(place), (folder) => folder.removeTree(Buffer.from(basename(target))));
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

/** A worktree under another name beside its own. The folder above both is held open. */
class WorktreeAside {
  readonly #target: string;
  readonly #above: FolderHandle;
  /** Path of that folder, for messages. */
  readonly #path: string;
  readonly #name: string;

  private constructor(target: string, above: FolderHandle, path: string, name: string) {
    this.#target = target;
    this.#above = above;
    this.#path = path;
    this.#name = name;
  }

  /** @returns `undefined` when there is no folder, or it cannot be moved, and then git removes it as git does */
  static async move(
    target: string,
    place: string | undefined,
    repository: Repository,
  ): Promise<WorktreeAside | undefined> {
    const { files, paths } = repository.program.services.platform;
    if (!(await entryAt(target))?.isDirectory()) {
      return undefined;
    }
    // git itself will work in the folder or below it.
    if (paths.isWithin(resolve(repository.directory), target)) {
      return undefined;
    }
    const path = await realpath(dirname(target));
    const above = await files.openFolder(path);
    const name = `.${basename(target)}.removing-${randomBytes(6).toString('hex')}`;
    try {
      await assertPlace(above, place === undefined ? undefined : dirname(place));
      await above.rename(Buffer.from(basename(target)), Buffer.from(name));
      return new WorktreeAside(target, above, path, name);
    } catch (error) {
      await above.close();
      if (error instanceof NotInPlace) {
        throw notRemoved(error.message, { cause: error });
      }
      return undefined;
    }
  }

  /** @throws SystemCallError */
  remove(): Promise<void> {
    return this.#above.removeTree(Buffer.from(this.#name));
  }

  /** @throws WorktreeFailure when the place is taken by now */
  async moveBack(): Promise<void> {
    try {
      await this.#above.rename(Buffer.from(this.#name), Buffer.from(basename(this.#target)));
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') {
        const aside = join(dirname(this.#target), this.#name);
        throw notRemoved(`${this.#target} was moved to ${aside} and could not be moved back`, { cause: error });
      }
    }
  }

  /** The message of a failure, with the path that the client knows. */
  shown(error: unknown): string {
    return (error as Error).message.replaceAll(join(this.#path, this.#name), this.#target);
  }

  close(): Promise<void> {
    return this.#above.close();
  }
}
