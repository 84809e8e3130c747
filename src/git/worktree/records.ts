/**
 * What git has made or deleted in a private common directory, taken to the repository's own one. Every step is made inside a
 * folder that is held open, so no link in the repository leads it elsewhere.
 */
import { mkdir, readdir, readFile, realpath, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { SystemCallError } from '../../../platform/errors.ts';
import type { FileOperations, FolderHandle } from '../../../platform/files.ts';
import type { Variable } from '../../../platform/started-with.ts';
import type { CommandResult } from '../../base/run-command.ts';
import { isTrue } from '../run/allowed-settings.ts';
import { writeConfiguration } from '../run/configuration-file.ts';
import { entryAt, readSmallFile, targetOf } from '../run/control-files.ts';
import { GitFailure } from '../run/failures.ts';
import type { Repository } from '../run/repository.ts';
import { readSettings } from '../run/repository-settings.ts';
import { changeBranch } from './branch-change.ts';
import { emptyFolder } from './empty-folder.ts';
import { addFailed } from './failures.ts';
import { inFolder, openOrCreate, writeNew } from './held-folders.ts';
import { keepNewSettings } from './settings-edits.ts';
import { inPlace, removeEmptyWorktree } from './true-place.ts';

export interface AddRequest {
  readonly branch: string;
  /** Whether the branch is there already, to be checked out. */
  readonly attaches?: boolean;
  /** Where the worktree must be, without links; `undefined`: wherever its path leads. */
  readonly place?: string | undefined;
  /** What stands behind `git worktree add`. */
  readonly args: readonly string[];
  readonly timeoutMs?: number | undefined;
}

export interface Added {
  readonly result: CommandResult;
  /** The new registration, in its place; `undefined` when git has failed. */
  readonly entry: string | undefined;
}

/**
 * `git worktree add`. The registration goes to its place, the worktree's `.git` file is led there, and the log of the new
 * branch is kept.
 * @throws WorktreeFailure, Node's error when that cannot be done; then the worktree is gone again
 */
export async function addWorktree(repository: Repository, request: AddRequest): Promise<Added> {
  const { branch, attaches = false, place, args, timeoutMs } = request;
  await forgetGone(repository);
  const variables = await committer(repository);
  const add = () => repository.run(['worktree', 'add', ...args], { changes: true, timeoutMs, variables });
  let result: CommandResult;
  let entry: string | undefined;
  try {
    result = await (attaches ? add() : changeBranch(repository, { branch, change: 'make' }, add));
    entry = result.failure === undefined ? await keepNewWorktree(repository, place) : undefined;
  } catch (error) {
    await discardNewWorktree(repository, place);
    throw error instanceof SystemCallError ? addFailed(error.message) : error;
  }
  if (entry !== undefined) {
    await keepNewSettings(repository, branch);
  }
  return { result, entry };
}

/** A registration that was removed since the private directory was made leaves its name free. */
async function forgetGone(repository: Repository): Promise<void> {
  const links = join((await repository.privateDirectories({ changes: true })).commonDirectory, 'worktrees');
  for (const name of await readdir(links).catch(() => [])) {
    if ((await targetOf(join(links, name))) === undefined) {
      await unlink(join(links, name));
    }
  }
}

/**
 * Who the new branch's log is to name. The git directory of the add is ours, so what the user has configured for repositories
 * in certain places would not count there.
 */
async function committer(repository: Repository): Promise<Variable[]> {
  const asked = await repository.run(['var', 'GIT_COMMITTER_IDENT']);
  const [, name, email] = /^(.*) <([^>]*)> \d+ [-+]\d+\n$/.exec(asked.stdout.toString()) ?? [];
  return asked.failure !== undefined || name === undefined || email === undefined
    ? []
    : [
        ['GIT_COMMITTER_NAME', name],
        ['GIT_COMMITTER_EMAIL', email],
      ];
}

async function keepNewWorktree(repository: Repository, place: string | undefined): Promise<string | undefined> {
  const { found } = repository;
  if (found === undefined) {
    return undefined;
  }
  const { files } = repository.program.services.platform;
  const { commonDirectory: made } = await repository.privateDirectories({ changes: true });
  const entry = await newEntry(repository);
  if (entry === undefined) {
    return undefined;
  }
  const common = await files.openFolder(found.commonDirectory);
  try {
    const registrations = await openOrCreate(common, 'worktrees');
    try {
      const name = await install(entry, basename(entry), registrations, found.commonDirectory, repository);
      const installed = join(found.commonDirectory, 'worktrees', name);
      await leadTo(installed, entry, place, repository);
      await keepLogs(join(made, 'logs'), 'logs', common);
      return installed;
    } finally {
      await registrations.close();
    }
  } finally {
    await common.close();
  }
}

/** The registration that git has made in our folder. */
async function newEntry(repository: Repository): Promise<string | undefined> {
  const { commonDirectory: made, gitDirectory: own } = await repository.privateDirectories({ changes: true });
  return (await readdir(join(made, 'worktrees'), { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(made, 'worktrees', entry.name))
    .find((path) => path !== own);
}

/** Best effort: what git has made, and what cannot be taken to the repository. */
async function discardNewWorktree(repository: Repository, place: string | undefined): Promise<void> {
  const { platform } = repository.program.services;
  const entry = await newEntry(repository).catch(() => undefined);
  if (entry !== undefined) {
    const worktree = dirname(await dotGitOf(entry));
    await emptyFolder(worktree, platform, { place });
    await removeEmptyWorktree(platform.files, worktree, place).catch(() => {});
  }
}

/** Copies a registration that git has made. @returns its name, which is another one when somebody has taken it meanwhile */
async function install(
  made: string,
  wanted: string,
  registrations: FolderHandle,
  real: string,
  repository: Repository,
): Promise<string> {
  for (let number = 0; ; number++) {
    const name = number === 0 ? wanted : `${wanted}${number}`;
    try {
      await registrations.createFolder(Buffer.from(name), 0o777);
    } catch (error) {
      if ((error as SystemCallError).code === 'EEXIST' && number < 1_000) {
        continue;
      }
      throw error;
    }
    const entry = await registrations.openFolder(Buffer.from(name));
    try {
      const dotGit = await dotGitOf(made);
      const text = (await recordIsRelative(made)) ? relative(join(real, 'worktrees', name), dotGit) : dotGit;
      await copyInto(entry, made, { gitdir: `${text}\n` });
      await copyWorktreeSettings(entry, repository);
    } catch (error) {
      await removeEntry(join(real, 'worktrees', name), repository.program.services.platform.files).catch(() => {});
      throw error;
    } finally {
      await entry.close();
    }
    return name;
  }
}

/**
 * Settings that the base worktree has for itself, such as a sparse checkout, go to the new one too, but for those that say
 * where its files are. git cannot do that here: it does not know of the file.
 */
async function copyWorktreeSettings(entry: FolderHandle, repository: Repository): Promise<void> {
  if (repository.found === undefined || !isTrue(repository.settings, 'extensions.worktreeconfig')) {
    return;
  }
  const name = 'config.worktree';
  const own = await readSettings(join(repository.found.gitDirectory, name), repository.program.services.platform.paths);
  if (!('settings' in own) || own.settings.length === 0) {
    return;
  }
  const kept = own.settings.filter(({ key }) => key !== 'core.bare' && key !== 'core.worktree');
  await writeNew(entry, name, Buffer.from(writeConfiguration(kept), 'latin1'));
}

/** What `git worktree remove` reads of a registration. */
const registrationFiles = ['gitdir', 'commondir', 'HEAD', 'locked'];
const copiedAtOnce = 16;

/**
 * Before `git worktree remove`: gives git copies of the registrations, so that what it deletes is ours.
 * @returns which registrations git has deleted since; absolute
 * @throws GitFailure `notRun` when one of them cannot be looked at: git might take a locked worktree for one without a lock
 */
export async function lendRegistrations(repository: Repository): Promise<() => Promise<readonly string[]>> {
  const real = repository.found?.commonDirectory;
  const lent = join((await repository.privateDirectories({ changes: true })).commonDirectory, 'worktrees');
  const names = real === undefined ? [] : await readdir(lent);
  for (let at = 0; at < names.length; at += copiedAtOnce) {
    await Promise.all(names.slice(at, at + copiedAtOnce).map((name) => lend(join(lent, name), repository)));
  }
  return async () => {
    const left = new Set(real === undefined ? names : await readdir(lent).catch(() => []));
    return names.filter((name) => !left.has(name)).map((name) => join(real ?? '', 'worktrees', name));
  };
}

/** Puts a folder with copies in the place of a link to a registration. @throws GitFailure `notRun` when it cannot be looked at */
async function lend(link: string, repository: Repository): Promise<void> {
  const { paths } = repository.program.services.platform;
  if (!(await entryAt(link))?.isSymbolicLink()) {
    // A copy already.
    return;
  }
  const contents = await Promise.all(
    registrationFiles.map(async (name) => {
      const read = await readSmallFile(join(link, name), paths);
      if (read.state === 'failed') {
        const file = join(await realpath(link), name);
        throw new GitFailure('notRun', `git not run: ${file} could not be read: ${read.reason}`);
      }
      return read;
    }),
  );
  await unlink(link);
  await mkdir(link);
  for (const [index, content] of contents.entries()) {
    if (content.state === 'read') {
      await writeFile(join(link, registrationFiles[index] ?? ''), content.bytes);
    }
  }
}

/**
 * Removes the folder of a registration. The folders above it are held open, so that a link put in their place meanwhile leads
 * to nothing else. @throws SystemCallError
 */
export async function removeEntry(entry: string, files: FileOperations): Promise<void> {
  const registrations = dirname(entry);
  try {
    await inFolder(files, dirname(registrations), [basename(registrations)], (folder) =>
      folder.removeTree(Buffer.from(basename(entry))),
    );
  } catch (error) {
    // Without a folder of registrations it is gone already.
    if ((error as SystemCallError).code !== 'ENOENT') {
      throw error;
    }
  }
}

/**
 * Takes a registration away, and the folder of all registrations with the last one, as git does.
 * @throws SystemCallError
 */
export async function dropRegistration(entry: string, repository: Repository): Promise<void> {
  const { files } = repository.program.services.platform;
  await removeEntry(entry, files);
  const registrations = dirname(entry);
  await inFolder(files, dirname(registrations), [], (common) =>
    common.removeFolder(Buffer.from(basename(registrations))),
  ).catch(() => {
    // There are others in it.
  });
}

/** Makes the worktree's `.git` file name its registration. */
async function leadTo(entry: string, made: string, place: string | undefined, repository: Repository): Promise<void> {
  const worktree = dirname(await dotGitOf(made));
  const text = (await recordIsRelative(made)) ? relative(worktree, entry) : entry;
  await inPlace(repository.program.services.platform.files, worktree, place, async (folder) => {
    await folder.removeFile(Buffer.from('.git'));
    await writeNew(folder, '.git', Buffer.from(`gitdir: ${text}\n`));
  });
}

async function recordOf(made: string): Promise<string> {
  return (await readFile(join(made, 'gitdir'), 'utf8')).replace(/\n$/, '');
}

async function recordIsRelative(made: string): Promise<boolean> {
  return !isAbsolute(await recordOf(made));
}

/** Absolute. */
async function dotGitOf(made: string): Promise<string> {
  return resolve(made, await recordOf(made));
}

/** @param instead contents of files in the topmost folder that are not taken over as they are */
async function copyInto(
  target: FolderHandle,
  source: string,
  instead: Readonly<Record<string, string>>,
): Promise<void> {
  for (const found of await readdir(source, { withFileTypes: true })) {
    const path = join(source, found.name);
    if (found.isDirectory()) {
      await target.createFolder(Buffer.from(found.name), 0o777);
      const inner = await target.openFolder(Buffer.from(found.name));
      try {
        await copyInto(inner, path, {});
      } finally {
        await inner.close();
      }
    } else if (found.isFile()) {
      const text = instead[found.name];
      await writeNew(target, found.name, text === undefined ? await readFile(path) : Buffer.from(text));
    }
  }
}

/** Best effort: a log that is there already, or would be reached through a link, stays as it is. */
async function keepLogs(source: string, name: string, target: FolderHandle): Promise<void> {
  const found = await readdir(source, { withFileTypes: true });
  if (found.length === 0) {
    return;
  }
  let folder: FolderHandle;
  try {
    folder = await openOrCreate(target, name);
  } catch {
    return;
  }
  try {
    for (const each of found) {
      if (each.isDirectory()) {
        await keepLogs(join(source, each.name), each.name, folder);
      } else if (each.isFile()) {
        await writeNew(folder, each.name, await readFile(join(source, each.name))).catch(() => {});
      }
    }
  } finally {
    await folder.close();
  }
}

/** After a branch was deleted: its log goes too. Best effort, never through a link. */
export async function dropLog(repository: Repository, branch: string): Promise<void> {
  const real = repository.found?.commonDirectory;
  if (real === undefined) {
    return;
  }
  const [name = '', ...above] = [...branchFolders, ...branch.split('/')].reverse();
  const { files } = repository.program.services.platform;
  await inFolder(files, real, ['logs', ...above.reverse()], (folder) => folder.removeFile(Buffer.from(name))).catch(
    () => {
      // There is no log, or it is not where git would have written it.
    },
  );
}

/** Where the refs of branches are, below the common directory and below its logs. */
const branchFolders = ['refs', 'heads'];

/**
 * git writes a branch by its path, so none of the folders on the way may be a link, nor may that of the registrations.
 * @returns the link that is in the way, `undefined`: there is none
 */
export async function linkOnTheWayTo(repository: Repository, branch: string): Promise<string | undefined> {
  const real = repository.found?.commonDirectory;
  if (real === undefined) {
    return undefined;
  }
  let at = real;
  for (const name of [...branchFolders, ...branch.split('/').slice(0, -1)]) {
    at = join(at, name);
    if ((await entryAt(at))?.isSymbolicLink()) {
      return at;
    }
  }
  for (const name of ['reftable', 'worktrees']) {
    const folder = join(real, name);
    if ((await entryAt(folder))?.isSymbolicLink()) {
      return folder;
    }
  }
  return undefined;
}
