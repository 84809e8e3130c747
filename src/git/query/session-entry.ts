/**
 * Whether a path is a linked worktree of a repository (spec git.md §4.2, gates 3 to 5). Only files of the repository count,
 * because whoever works in the worktree can write the files in there.
 */
import { readlink, realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import type { GitHost } from '../../../platform/git-host.ts';
import type { Paths } from '../../../platform/paths.ts';
import { entryAt, readSmallText, targetOf } from '../run/control-files.ts';
import type { Repository } from '../run/repository.ts';
import { readSettings } from '../run/repository-settings.ts';
import { componentsOf } from './path-components.ts';
import { entriesNaming } from './worktree-entries.ts';

/** Settings that a worktree may have for itself. They only say which tracked files are meant to be absent. */
const harmlessSettings = ['core.sparsecheckout', 'core.sparsecheckoutcone', 'index.sparse'];

/**
 * @param path as sent, after tilde
 * @param commonDirectory the repository's git directory, absolute
 * @returns the worktree's entry; `undefined` when `path` is no linked worktree of this repository
 */
export async function sessionEntry(
  repository: Repository,
  path: string,
  commonDirectory: string,
): Promise<string | undefined> {
  const { paths, git: host } = repository.program.services.platform;
  if (!(await isPlainFolder(path, repository.directory, paths, host))) {
    return undefined;
  }
  const entry = await onlyEntryFor(path, commonDirectory, paths, host);
  return entry !== undefined && (await isIntact(entry, commonDirectory, repository)) ? entry : undefined;
}

/** Whether there is a folder, which a path inside the repository must reach without links and without `..`. */
async function isPlainFolder(path: string, baseRepo: string, paths: Paths, host: GitHost): Promise<boolean> {
  if (host.isMisread(path) || !(await targetOf(path))?.isDirectory()) {
    return false;
  }
  const base = resolve(baseRepo);
  if (!paths.isWithin(resolve(path), base)) {
    return true;
  }
  if (componentsOf(path).includes('..')) {
    return false;
  }
  let at = base;
  for (const name of componentsOf(relative(base, resolve(path)))) {
    at = join(at, name);
    if (!(await entryAt(at))?.isDirectory()) {
      return false;
    }
  }
  return true;
}

async function onlyEntryFor(
  path: string,
  commonDirectory: string,
  paths: Paths,
  host: GitHost,
): Promise<string | undefined> {
  const spellings = [path, await realpath(path).catch(() => path)];
  const dotGitFiles = spellings.map((spelling) => join(spelling, '.git'));
  const [entry, ...more] = await entriesNaming(commonDirectory, dotGitFiles, paths, (name) => host.comparable(name));
  // With two entries for one folder there is no telling which of them belongs to it.
  return more.length === 0 ? entry : undefined;
}

/** Whether the files of an entry are as git writes them. */
async function isIntact(entry: string, commonDirectory: string, repository: Repository): Promise<boolean> {
  const { paths } = repository.program.services.platform;
  const common = await commonDirText(entry, paths);
  if (common === undefined || join(entry, common.trim()) !== commonDirectory) {
    return false;
  }
  const head = await readSmallText(join(entry, 'HEAD'), paths);
  if (head === undefined || !/^(?:[0-9a-f]{40}|[0-9a-f]{64}|ref: refs\/[^\n]+)\n?$/.test(head)) {
    return false;
  }
  const index = await entryAt(join(entry, 'index'));
  if (index !== undefined && !index.isFile()) {
    return false;
  }
  return (await hasItsTables(entry, paths)) && hasHarmlessSettings(entry, repository);
}

/** An entry of a repository that keeps refs in tables has its own `HEAD` in one: without any it is none (spec generation-n2.md §10.3). */
async function hasItsTables(entry: string, paths: Paths): Promise<boolean> {
  const folder = join(entry, 'reftable');
  if (!(await entryAt(folder))?.isDirectory()) {
    return true;
  }
  const list = await readSmallText(join(folder, 'tables.list'), paths);
  const names = (list ?? '').split('\n').filter((name) => name !== '' && !name.includes('/'));
  const tables = await Promise.all(names.map((name) => entryAt(join(folder, name))));
  return tables.some((table) => table?.isFile() === true);
}

async function commonDirText(entry: string, paths: Paths): Promise<string | undefined> {
  const file = join(entry, 'commondir');
  if (!(await entryAt(file))?.isSymbolicLink()) {
    return readSmallText(file, paths);
  }
  const target = await readlink(file).catch(() => '');
  const stays = target !== '' && !isAbsolute(target) && !componentsOf(target).includes('..');
  return stays ? readSmallText(join(entry, target), paths) : undefined;
}

async function hasHarmlessSettings(entry: string, repository: Repository): Promise<boolean> {
  const file = join(entry, 'config.worktree');
  if ((await entryAt(file)) === undefined) {
    return true;
  }
  if (!(await entryAt(file))?.isFile()) {
    return false;
  }
  const read = await readSettings(file, repository.program.services.platform.paths);
  return 'settings' in read && read.settings.every(({ key }) => harmlessSettings.includes(key));
}
