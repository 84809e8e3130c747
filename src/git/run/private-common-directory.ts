/**
 * A common directory of our own that stands for a repository's (spec git.md §2.2): its `config` is a file we wrote, and the
 * rest are links to the repository's real objects and refs. git is led to it by `GIT_COMMON_DIR`, so whatever the
 * repository's own configuration says, or comes to say while git runs, git never reads it. The git directory stays the real
 * one: git finds it, judges its owner, and matches the user's conditional includes against it as it always does.
 *
 *     <temporary folder>/<name of the real one>/
 *       config        written by us from the allow-list
 *       HEAD          link, for questions about the main worktree; a copy where something is changed
 *       objects refs reftable info    links to folders
 *       packed-refs shallow           links to files
 *
 * There are no hooks and no old-style remotes in it. For a call that changes something there are also
 *
 *       worktrees/<name>              links to the registrations; a new one is a real folder that git makes here
 *       logs                          an empty folder, in which git begins the logs of what it makes
 *
 * and src/git/worktree/records.ts takes what git has made there to its real place, where it follows no link.
 */
import { mkdir, readlink, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { GitHost } from '../../../platform/git-host.ts';
import type { Paths } from '../../../platform/paths.ts';
import { readSmallFile } from './control-files.ts';

const folders = ['objects', 'refs', 'reftable', 'info'] as const;
const files = ['shallow'] as const;

export interface CommonDirectoryRequest {
  /** The repository's common directory; `undefined`: there is none, and git must not find one. */
  readonly real: string | undefined;
  /** Bytes as characters. */
  readonly configuration: string;
  /** For a call that changes something: names of the registrations; `undefined` for a question. */
  readonly worktrees: readonly string[] | undefined;
}

/**
 * @param folder an empty folder of ours, which nobody else may enter
 * @returns its path
 */
export async function makeCommonDirectory(
  folder: string,
  { real, configuration, worktrees }: CommonDirectoryRequest,
  host: GitHost,
  paths: Paths,
): Promise<string> {
  // git derives the path of the main worktree from this name, so it must be the real one.
  const path = join(folder, real === undefined ? '.git' : basename(real) || '.git');
  await mkdir(path, { mode: 0o700 });
  if (real === undefined) {
    return path;
  }
  await Promise.all([
    writeFile(join(path, 'config'), configuration, { encoding: 'latin1', flag: 'wx', mode: 0o600 }),
    ...folders.map((name) => host.linkFolder(join(real, name), join(path, name))),
    ...files.map((name) => host.linkFile(join(real, name), join(path, name))),
    // git takes no folder for a git directory in which this file is a link, and one that changes something must be taken.
    worktrees === undefined
      ? host.linkFile(join(real, 'HEAD'), join(path, 'HEAD'))
      : copyHead(join(real, 'HEAD'), join(path, 'HEAD'), paths),
    // git replaces this file when it deletes a branch, and must find the real one to do so.
    (worktrees === undefined ? host.linkFile : host.linkFileToReplace)(
      join(real, 'packed-refs'),
      join(path, 'packed-refs'),
    ),
  ]);
  if (worktrees !== undefined) {
    await Promise.all([mkdir(join(path, 'worktrees')), mkdir(join(path, 'logs'))]);
    for (const name of worktrees) {
      await host.linkFolder(join(real, 'worktrees', name), join(path, 'worktrees', name));
    }
  }
  return path;
}

/**
 * A git directory of our own that stands for that of a linked worktree, for calls that change something. A second call for
 * the same place leaves it as it is.
 */
export async function makeGitDirectory(
  path: string,
  { real, commonDirectory }: { readonly real: string; readonly commonDirectory: string },
  host: GitHost,
  paths: Paths,
): Promise<void> {
  if ((await mkdir(path, { recursive: true, mode: 0o700 })) === undefined) {
    return;
  }
  await Promise.all([
    writeFile(join(path, 'commondir'), `${commonDirectory}\n`, { flag: 'wx', mode: 0o600 }),
    copyHead(join(real, 'HEAD'), join(path, 'HEAD'), paths),
    host.linkFolder(join(real, 'info'), join(path, 'info')),
  ]);
}

async function copyHead(from: string, to: string, paths: Paths): Promise<void> {
  // A link is the old way to name a branch.
  const branch = await readlink(from).catch(() => undefined);
  if (branch !== undefined) {
    await symlink(branch, to);
    return;
  }
  const read = await readSmallFile(from, paths);
  if (read.state === 'read') {
    await writeFile(to, read.bytes, { flag: 'wx', mode: 0o600 });
  }
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
