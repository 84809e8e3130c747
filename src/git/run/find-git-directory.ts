/**
 * Which git directory git itself would find from a folder, judged from the files alone, so that the repository's
 * configuration can be replaced before git runs. git then looks for itself, with its own rules about owners, file systems
 * and ceilings, and has the last word.
 */
import { readlink, realpath } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Paths } from '../../../platform/paths.ts';
import { entryAt, readSmallFile, readSmallText, targetOf } from './control-files.ts';

export interface FoundGitDirectory {
  readonly gitDirectory: string;
  /** Where refs, objects and configuration are; absolute, links resolved. */
  readonly commonDirectory: string;
  /** The folder in which the walk found `.git`; `undefined` inside a git directory. */
  readonly workTree: string | undefined;
  /** Where the walk began, links resolved; `undefined`: there was none. */
  readonly start?: string;
}

/** @returns `undefined` where git finds no repository either */
export async function findGitDirectory(directory: string, paths: Paths): Promise<FoundGitDirectory | undefined> {
  let start: string;
  try {
    start = await realpath(directory === '' ? '.' : directory);
  } catch {
    return undefined;
  }
  const found = await walk(start, paths);
  return found === undefined ? undefined : { ...found, start };
}

async function walk(start: string, paths: Paths): Promise<FoundGitDirectory | undefined> {
  for (let at = start; ; ) {
    const dotGit = join(at, '.git');
    const status = await targetOf(dotGit);
    if (status?.isFile()) {
      const content = (await readSmallText(dotGit, paths, { followLinks: true })) ?? '';
      const named = /^gitdir: (.*)$/s.exec(content)?.[1]?.replace(/[\r\n]+$/, '');
      // git stops at a file that does not lead to a git directory.
      return named === undefined || named === '' ? undefined : gitDirectoryAt(resolve(at, named), at, paths);
    }
    const inDotGit = status?.isDirectory() ? await gitDirectoryAt(dotGit, at, paths) : undefined;
    if (inDotGit !== undefined) {
      return inDotGit;
    }
    const here = await gitDirectoryAt(at, undefined, paths);
    if (here !== undefined) {
      return here;
    }
    const parent = dirname(at);
    if (parent === at) {
      return undefined;
    }
    at = parent;
  }
}

async function gitDirectoryAt(
  gitDirectory: string,
  workTree: string | undefined,
  paths: Paths,
): Promise<FoundGitDirectory | undefined> {
  // Neither look needs the other one's outcome.
  const [isOne, commonDirectory] = await Promise.all([
    hasHead(gitDirectory, paths),
    commonDirectoryOf(gitDirectory, paths),
  ]);
  if (!isOne) {
    return undefined;
  }
  const [objects, refs] = await Promise.all([
    targetOf(join(commonDirectory, 'objects')),
    targetOf(join(commonDirectory, 'refs')),
  ]);
  return objects === undefined || refs === undefined ? undefined : { gitDirectory, commonDirectory, workTree };
}

/** Whether there is a `HEAD` as git takes one. */
export async function hasHead(gitDirectory: string, paths: Paths): Promise<boolean> {
  const head = join(gitDirectory, 'HEAD');
  const entry = await entryAt(head);
  if (entry?.isSymbolicLink()) {
    return (await readlink(head).catch(() => '')).startsWith('refs/');
  }
  if (!entry?.isFile()) {
    return false;
  }
  const content = await readSmallFile(head, paths);
  return content.state === 'read' && /^(?:ref:[ \t]*refs\/|[0-9a-fA-F]{40})/.test(content.bytes.toString('latin1'));
}

/** Where the refs and objects of a git directory are: in itself, or for the entry of a linked worktree in its repository. */
export async function commonDirectoryOf(gitDirectory: string, paths: Paths): Promise<string> {
  const content = (await readSmallText(join(gitDirectory, 'commondir'), paths))?.trim();
  const common = content === undefined || content === '' ? gitDirectory : resolve(gitDirectory, content);
  return realpath(common).catch(() => common);
}

/**
 * Whether a folder between `from` and the top of its work tree, which is excluded, looks a little like a git directory. With
 * a common directory given, git takes such a folder for one, and must therefore start at the top.
 * @param from absolute, links resolved
 */
export async function hasDecoy(from: string, top: string): Promise<boolean> {
  for (let at = from; at !== top; at = dirname(at)) {
    if ((await entryAt(join(at, 'HEAD'))) !== undefined || (await entryAt(join(at, '.git'))) !== undefined) {
      return true;
    }
    if (dirname(at) === at) {
      return false;
    }
  }
  return false;
}
