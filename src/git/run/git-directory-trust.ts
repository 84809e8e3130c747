/**
 * The git directory trust check (spec git.md §9): which git directory a path belongs to, judged from the files alone,
 * before git itself reads a configuration that one of them may have sent elsewhere.
 */
import { readlink, realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { goQuote } from '../../../platform/go-quote.ts';
import type { Paths } from '../../../platform/paths.ts';
import { entryAt, readSmallFile, type SmallFile, smallFileBytes, targetOf } from './control-files.ts';
import { GitFailure, noRepository } from './failures.ts';
import { type FoundGitDirectory, hasHead } from './find-git-directory.ts';

/**
 * @returns `undefined` when `directory` is missing; then git itself reports it
 * @throws GitFailure `noRepository`, `notRun`
 */
export async function discover(directory: string, paths: Paths): Promise<FoundGitDirectory | undefined> {
  let start: string;
  try {
    start = await realpath(directory === '' ? '.' : directory);
  } catch {
    return undefined;
  }
  const found = await walk(start, paths);
  if (found === undefined) {
    throw noRepository();
  }
  return { ...found, start, commonDirectory: await judge(found.gitDirectory, paths) };
}

type Found = Omit<FoundGitDirectory, 'commonDirectory'>;

async function walk(start: string, paths: Paths): Promise<Found | undefined> {
  let directory = start;
  for (;;) {
    const dotGit = join(directory, '.git');
    const status = await targetOf(dotGit);
    if (status?.isDirectory()) {
      if (await isGitDirectory(dotGit, paths)) {
        return { gitDirectory: dotGit, workTree: directory };
      }
      return (await entryAt(join(dotGit, 'commondir'))) === undefined
        ? undefined
        : { gitDirectory: dotGit, workTree: directory };
    }
    if (status?.isFile()) {
      const content = await readSmallFile(dotGit, paths, { followLinks: true });
      const named = content.state === 'read' ? /^gitdir:(.*)$/s.exec(content.bytes.toString())?.[1]?.trim() : undefined;
      return named === undefined || named === ''
        ? undefined
        : { gitDirectory: resolve(directory, named), workTree: directory };
    }
    if (await isGitDirectory(directory, paths)) {
      return { gitDirectory: directory, workTree: undefined };
    }
    const parent = dirname(directory);
    if (parent === directory) {
      return undefined;
    }
    directory = parent;
  }
}

/** Test T of the specification: whether git itself takes the folder for a git directory. */
async function isGitDirectory(path: string, paths: Paths): Promise<boolean> {
  const [objects, refs] = await Promise.all([targetOf(join(path, 'objects')), targetOf(join(path, 'refs'))]);
  return objects !== undefined && refs !== undefined && hasHead(path, paths);
}

/** Whether the folder is the entry of a linked worktree: `<git directory>/worktrees/<name>`. */
async function isEntry(gitDirectory: string, paths: Paths): Promise<boolean> {
  const parent = dirname(gitDirectory);
  return (
    basename(parent) === 'worktrees' &&
    basename(gitDirectory) !== '.git' &&
    (await isGitDirectory(dirname(parent), paths))
  );
}

/** @returns the common directory. @throws GitFailure `notRun` */
async function judge(gitDirectory: string, paths: Paths): Promise<string> {
  const file = join(gitDirectory, 'commondir');
  const content = await readSmallFile(file, paths);
  if (await isEntry(gitDirectory, paths)) {
    const common = dirname(dirname(gitDirectory));
    const entry = quotedPath(gitDirectory);
    if (content.state === 'missing') {
      throw refusal(
        `worktree entry ${entry} has none (git always writes one there, containing ../..); the entry is damaged or was not made by git \u2014 recreate the worktree with git worktree add, or remove the entry`,
      );
    }
    if (content.state !== 'read') {
      throw refusal(
        `${quotedPath(file)} is not a small plain file (${reasonOf(content)}); remove it, or remove that worktree entry and add the worktree again so git rewrites it`,
      );
    }
    if (join(gitDirectory, content.bytes.toString().trim()) !== common) {
      throw refusal(
        `${quotedPath(file)} does not name the entry's own repository, ${quotedPath(common)}; restore the file to read ../.. or remove that worktree entry and add the worktree again`,
      );
    }
    return common;
  }
  const link = await linkedCommonDirectory(gitDirectory);
  if (content.state === 'missing' || (link === 'dangling' && (await isGitDirectory(gitDirectory, paths)))) {
    return gitDirectory;
  }
  const tampering = 'treat it as tampering: delete it, and if you did not create it, find out what did';
  if (content.state !== 'read' && link !== 'dangling') {
    const reason = link === 'leaves' ? 'openat commondir: path escapes from parent' : reasonOf(content);
    throw refusal(
      `${quotedPath(file)} is not a small plain file (${reason}); git writes that file only inside .git/worktrees/<name>/; one here can send git's configuration and hooks elsewhere, so ${tampering}`,
    );
  }
  const said = content.state === 'read' ? content.bytes.toString().replace(/[\r\n]+$/, '') : '.';
  if (said !== '.' && said !== './') {
    throw refusal(
      `${quotedPath(file)} reads ${goQuote(firstCharacters(said, 60))}; git writes that file only inside .git/worktrees/<name>/, and Claude Code's sandbox may leave one containing just "."; anything else sends git's configuration and hooks elsewhere, so ${tampering}`,
    );
  }
  if (!(await isGitDirectory(gitDirectory, paths))) {
    throw refusal(
      `${quotedPath(file)} sits in a git directory git would not take as a repository (its HEAD, objects or refs missing or invalid), so git would look for one somewhere else; repair that directory (usually its HEAD file)`,
    );
  }
  return gitDirectory;
}

/** A link in the place of `commondir`: an absolute one leaves the git directory wherever it leads to. */
async function linkedCommonDirectory(gitDirectory: string): Promise<'none' | 'leaves' | 'dangling' | 'inside'> {
  const file = join(gitDirectory, 'commondir');
  const target = await readlink(file).catch(() => undefined);
  if (target === undefined) {
    return 'none';
  }
  const leads = relative(gitDirectory, join(gitDirectory, target));
  if (isAbsolute(target) || leads === '..' || leads.startsWith(`..${sep}`)) {
    return 'leaves';
  }
  return (await targetOf(file)) === undefined ? 'dangling' : 'inside';
}

function refusal(text: string): GitFailure {
  return new GitFailure(
    'notRun',
    `the repository's git directory could not be trusted; git not run: commondir not as git writes it: ${text}`,
  );
}

function reasonOf(file: SmallFile): string {
  if (file.state === 'tooLarge') {
    return `commondir is larger than ${smallFileBytes} bytes`;
  }
  return file.state === 'failed' ? `openat commondir: ${file.reason}` : 'commondir is not a regular file';
}

function quotedPath(path: string): string {
  return goQuote(firstCharacters(path, 300));
}

function firstCharacters(text: string, count: number): string {
  return [...text].slice(0, count).join('');
}
