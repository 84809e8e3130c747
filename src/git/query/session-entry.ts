/**
 * Whether a path is a linked worktree of a repository (spec git.md §4.2, gate 3 to 5). Only the files of the repository
 * count: what the worktree itself says, whoever works in it can write.
 */
import { readlink, realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import type { GitHost } from '../../../platform/git-host.ts';
import type { Paths } from '../../../platform/paths.ts';
import { entryAt, readSmallText, targetOf } from '../run/control-files.ts';
import type { Repository } from '../run/repository.ts';
import { componentsOf } from './path-components.ts';
import { entryNames, recordOf } from './worktree-entries.ts';

/** Settings a worktree may have for itself; they only say which tracked files are meant to be absent. */
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

/** An existing folder; and inside the repository one that is reached without links and without `..`. */
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
  const spellings = [path, await realpath(path).catch(() => path)].map((spelling) =>
    host.comparable(join(spelling, '.git')),
  );
  const matching: string[] = [];
  for (const name of (await entryNames(commonDirectory)) ?? []) {
    const entry = join(commonDirectory, 'worktrees', name);
    const record = await recordOf(entry, paths);
    if (record !== undefined && spellings.includes(host.comparable(record))) {
      matching.push(entry);
    }
  }
  // Two entries for one folder: nothing tells which one is its.
  return matching.length === 1 ? matching[0] : undefined;
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
  return hasHarmlessSettings(entry, repository);
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
  const content = await readSmallText(file, repository.program.services.platform.paths);
  if (content === undefined) {
    return false;
  }
  const listed = await repository.run(['config', '--file', '-', '-z', '--list', '--name-only'], {
    input: Buffer.from(content),
  });
  if (listed.failure !== undefined) {
    return false;
  }
  const keys = listed.stdout.toString().split('\0');
  return keys.every((key) => key === '' || harmlessSettings.includes(key));
}
