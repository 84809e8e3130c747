/**
 * A common directory of our own that stands for a repository's (spec git.md §2.2): its `config` is a file we wrote, and the
 * rest are links to the repository's real objects and refs. git is led to it by `GIT_COMMON_DIR`, so whatever the
 * repository's own configuration says, or comes to say while git runs, git never reads it.
 *
 *     <temporary folder>/<name of the real one>/
 *       config        written by us from the allow-list
 *       HEAD          copy, for calls that change records
 *       objects refs reftable info    links to folders
 *       packed-refs shallow           links to files
 *
 * There are no hooks and no old-style remotes in it.
 *
 * For a question, and for a checkout, the git directory stays the real one: git finds it, judges its owner, and matches the
 * user's conditional includes against it as it always does. For a call that changes records, the git directory is ours too,
 * because git writes branches and their logs below the git directory, whatever `GIT_COMMON_DIR` says:
 *
 *       refs reftable                 folders of our own, see private-refs.ts
 *       worktrees/<name>              links to the registrations; a new one is a real folder that git makes here
 *       worktrees/<own name>          for a request in a linked worktree: a copy of its registration, the git directory
 *       logs                          an empty folder, in which git begins the logs of what it makes
 *
 * and src/git/worktree/records.ts and branch-change.ts take what git has made there to its real place, where they follow no
 * link.
 */
import { mkdir, readlink, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { GitHost } from '../../../platform/git-host.ts';
import type { Paths } from '../../../platform/paths.ts';
import type { Platform } from '../../../platform/platform.ts';
import { readSmallFile, targetOf } from './control-files.ts';
import type { FoundGitDirectory } from './find-git-directory.ts';
import { linkRefs } from './private-refs.ts';

/** Also where there is none yet: refs may be packed while git runs. */
const files = ['packed-refs'] as const;
const rarelyThere = ['shallow', 'reftable'] as const;
const folders = ['objects', 'info'] as const;

export interface CommonDirectoryRequest {
  /** `undefined`: there is no repository, and git must not find one. */
  readonly found: FoundGitDirectory | undefined;
  /** Bytes as characters. */
  readonly configuration: string;
  /** For a call that changes records: names of the registrations; `undefined` for any other. */
  readonly worktrees: readonly string[] | undefined;
}

/** What few repositories have: name, and whether it is a folder. */
export type RarePart = readonly [name: string, isFolder: boolean];

export interface PrivateDirectories {
  readonly commonDirectory: string;
  /** `undefined`: the real one, which git finds. */
  readonly gitDirectory: string | undefined;
  /** Those that the repository had. */
  readonly rare: readonly RarePart[];
}

/** @param folder an empty folder of ours, which nobody else may enter */
export async function makeCommonDirectory(
  folder: string,
  { found, configuration, worktrees }: CommonDirectoryRequest,
  { git: host, paths }: Pick<Platform, 'git' | 'paths'>,
): Promise<PrivateDirectories> {
  const real = found?.commonDirectory;
  // git derives the path of the main worktree from this name, so it must be the real one.
  const path = join(folder, real === undefined ? '.git' : basename(real) || '.git');
  await mkdir(path, { mode: 0o700 });
  if (found === undefined || real === undefined) {
    return { commonDirectory: path, gitDirectory: undefined, rare: [] };
  }
  // Each file that is made costs more than a look whether it is needed.
  const rare = await rareParts(real);
  await Promise.all([
    writeFile(join(path, 'config'), configuration, { encoding: 'latin1', flag: 'wx', mode: 0o600 }),
    ...folders.map((name) => host.linkFolder(join(real, name), join(path, name))),
    ...files.map((name) => host.linkFile(join(real, name), join(path, name))),
    ...rare.map(([name, isFolder]) => (isFolder ? host.linkFolder : host.linkFile)(join(real, name), join(path, name))),
    worktrees === undefined ? host.linkFolder(join(real, 'refs'), join(path, 'refs')) : linkRefs(real, path, host),
    // A question is about the worktree that it is asked in, and that one has its own git directory.
    worktrees === undefined ? undefined : copyHead(real, path, paths),
  ]);
  if (worktrees === undefined) {
    return { commonDirectory: path, gitDirectory: undefined, rare };
  }
  await Promise.all([mkdir(join(path, 'worktrees')), mkdir(join(path, 'logs'))]);
  for (const name of worktrees) {
    await host.linkFolder(join(real, 'worktrees', name), join(path, 'worktrees', name));
  }
  const isMain = (await realpath(found.gitDirectory)) === (await realpath(real));
  const gitDirectory = isMain ? path : await copyRegistration(found.gitDirectory, path, host, paths);
  return { commonDirectory: path, gitDirectory, rare };
}

/** @param real the common directory; `undefined`: there is none */
export async function rareParts(real: string | undefined): Promise<RarePart[]> {
  if (real === undefined) {
    return [];
  }
  const targets = await Promise.all(rarelyThere.map((name) => targetOf(join(real, name))));
  return rarelyThere.flatMap((name, index): RarePart[] => {
    const target = targets[index];
    return target === undefined ? [] : [[name, target.isDirectory()]];
  });
}

/** git takes no link for a `HEAD`, but for one in the old form that leads to a ref. */
async function copyHead(from: string, to: string, paths: Paths): Promise<void> {
  const target = await readlink(join(from, 'HEAD')).catch(() => undefined);
  await (target === undefined ? copySmall('HEAD', from, to, paths) : symlink(target, join(to, 'HEAD')));
}

/** What is no small file is left out, and git treats it as missing. */
async function copySmall(name: string, from: string, to: string, paths: Paths): Promise<void> {
  const read = await readSmallFile(join(from, name), paths);
  if (read.state === 'read') {
    await writeFile(join(to, name), read.bytes, { flag: 'wx' });
  }
}

/** What git asks of the worktree that a request is made in. */
async function copyRegistration(
  gitDirectory: string,
  commonDirectory: string,
  host: GitHost,
  paths: Paths,
): Promise<string> {
  const copy = join(commonDirectory, 'worktrees', basename(gitDirectory));
  await rm(copy, { force: true });
  await mkdir(copy);
  await Promise.all([
    writeFile(join(copy, 'commondir'), '../..\n'),
    copyHead(gitDirectory, copy, paths),
    ...['gitdir', 'locked'].map((name) => copySmall(name, gitDirectory, copy, paths)),
    ...['reftable', 'info'].map((name) => host.linkFolder(join(gitDirectory, name), join(copy, name))),
  ]);
  return copy;
}

/** Puts the real place where git printed ours. Both begin with the folder that the common directory lies in. */
export function withRealPlace(output: Buffer, folder: string, real: string | undefined): Buffer {
  if (real === undefined || !output.includes(folder)) {
    return output;
  }
  const parent = dirname(real).replace(/[/\\]$/, '');
  return Buffer.from(output.toString('latin1').replaceAll(latin1(folder), latin1(parent)), 'latin1');
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}
