/** The changes in a linked worktree of a repository (`git.status` with `baseRepo`, spec git.md §4.2). */
import { join, resolve } from 'node:path';
import type { CommandResult } from '../../base/run-command.ts';
import { decodeBytes } from '../../wire/utf8.ts';
import { entryAt } from '../run/control-files.ts';
import { GitFailure, namingFileCalls } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { openRepositoryIfAny } from '../run/open-repository.ts';
import { cutBytes, linesOf } from '../run/output-text.ts';
import { copyGitDirectory, type PrivateGitDirectory } from '../run/private-git-directory.ts';
import type { CallOptions, Repository } from '../run/repository.ts';
import { placeOf } from './managed-place.ts';
import { answerOf, askGitDirectory } from './repository-folders.ts';
import { sessionEntry } from './session-entry.ts';
import { submoduleEntries } from './submodule-entries.ts';

/** Bounds of the answers that also list submodules. */
const mostLines = 10_000;
const lineBytes = 512;

/**
 * @param path after tilde
 * @param baseRepo after tilde, not empty
 * @returns the lines of `git status`; `undefined` when `path` is no linked worktree of the repository
 * @throws GitFailure `notRun`, `callFailed`
 */
export function sessionStatus(
  program: GitProgram,
  path: string,
  baseRepo: string,
): Promise<readonly string[] | undefined> {
  return namingFileCalls(program.services.platform.paths, () => collectChanges(program, path, baseRepo));
}

async function collectChanges(
  program: GitProgram,
  path: string,
  baseRepo: string,
): Promise<readonly string[] | undefined> {
  const { platform } = program.services;
  if ((await placeOf(baseRepo, platform.git)) !== 'outside') {
    return undefined;
  }
  const opened = await openRepositoryIfAny(program, baseRepo);
  if (opened === undefined) {
    return undefined;
  }
  const { repository } = opened;
  repository.pins.prepareForPrograms();
  const commonDirectory = answerOf(await askGitDirectory(repository));
  if (commonDirectory === undefined || !(await entryAt(join(commonDirectory, 'worktrees')))?.isDirectory()) {
    return undefined;
  }
  const entry = await sessionEntry(repository, path, commonDirectory);
  if (entry === undefined) {
    return undefined;
  }
  const copy = await copyGitDirectory(entry, commonDirectory, platform.paths);
  if (copy === undefined) {
    return undefined;
  }
  try {
    return await changesThrough(copy, repository, path, commonDirectory);
  } finally {
    await copy[Symbol.asyncDispose]();
  }
}

/** Asks git by way of a private copy of the worktree's git directory. @throws GitFailure `callFailed` */
async function changesThrough(
  copy: PrivateGitDirectory,
  repository: Repository,
  path: string,
  commonDirectory: string,
): Promise<readonly string[]> {
  const { program } = repository;
  const { profile } = program.services;
  const worktree = resolve(path);
  const leading = await program.attributeSource();
  const ask = (args: readonly string[], more: CallOptions = {}): Promise<CommandResult> =>
    repository.run(args, {
      set: 'heavy',
      statusLike: true,
      directory: path,
      gitDirectory: copy.path,
      commonDirectory,
      options: [`--work-tree=${worktree}`],
      leading,
      ...more,
    });
  const listsSubmodules = profile.git.status.submodules;
  // Neither question needs the answer of the other one.
  const [status, submodules] = await Promise.all([
    ask(['status', '--porcelain', '--untracked-files=all', '--ignore-submodules=all'], { mayRunPrograms: true }),
    listsSubmodules ? submoduleEntries(worktree, join(copy.path, 'index'), program.services.platform.paths, ask) : [],
  ]);
  if (status.failure !== undefined) {
    throw new GitFailure('callFailed', status.failure);
  }
  if ('failure' in submodules) {
    throw new GitFailure('callFailed', submodules.failure);
  }
  return listsSubmodules ? [...boundedLines(status.stdout), ...submodules] : linesOf(status.stdout);
}

function boundedLines(output: Buffer): string[] {
  const lines: string[] = [];
  for (let at = 0; at < output.length && lines.length < mostLines; ) {
    const found = output.indexOf(0x0a, at);
    const end = found < 0 ? output.length : found;
    const line = output.subarray(at, end);
    lines.push(decodeBytes(cutBytes(line, lineBytes)) + (line.length > lineBytes ? '…' : ''));
    at = end + 1;
  }
  return lines;
}
