/** The changes in a linked worktree of a repository (`git.status` with `baseRepo`, spec git.md §4.2). */
import { join, resolve } from 'node:path';
import type { CommandResult } from '../../base/run-command.ts';
import { decodeBytes } from '../../wire/utf8.ts';
import { entryAt } from '../run/control-files.ts';
import { GitFailure, namingFileCalls } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { withRepositoryIfAny, withWorktree } from '../run/open-repository.ts';
import { cutBytes, linesOf } from '../run/output-text.ts';
import type { CallOptions, Repository } from '../run/repository.ts';
import { checkIndex } from './index-submodules.ts';
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
  return namingFileCalls(program.services, async () => {
    if ((await placeOf(baseRepo, program.services.platform.git)) !== 'outside') {
      return undefined;
    }
    return withRepositoryIfAny(program, baseRepo, (repository) => collectChanges(repository, path));
  });
}

async function collectChanges(repository: Repository, path: string): Promise<readonly string[] | undefined> {
  const commonDirectory = answerOf(await askGitDirectory(repository));
  if (commonDirectory === undefined || !(await entryAt(join(commonDirectory, 'worktrees')))?.isDirectory()) {
    return undefined;
  }
  const entry = await sessionEntry(repository, path, commonDirectory);
  if (entry === undefined) {
    return undefined;
  }
  await checkIndex(join(entry, 'index'));
  const place = { entry, commonDirectory, worktree: path };
  return withWorktree(repository.program, place, (worktree) => changesIn(worktree, entry, path));
}

/** @throws GitFailure `callFailed` */
async function changesIn(repository: Repository, entry: string, path: string): Promise<readonly string[]> {
  const { profile, platform } = repository.program.services;
  const worktree = resolve(path);
  const ask = (args: readonly string[], more: CallOptions = {}): Promise<CommandResult> =>
    repository.run(args, {
      statusLike: true,
      gitDirectory: entry,
      options: [`--work-tree=${worktree}`],
      ...more,
    });
  const listsSubmodules = profile.git.status.submodules;
  // Neither question needs the answer of the other one.
  const [status, submodules] = await Promise.all([
    ask(['status', '--porcelain', '--untracked-files=all', '--ignore-submodules=all']),
    listsSubmodules ? submoduleEntries(worktree, join(entry, 'index'), platform.paths, ask) : [],
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
    lines.push(decodeBytes(cutBytes(line, lineBytes)) + (line.length > lineBytes ? '\u2026' : ''));
    at = end + 1;
  }
  return lines;
}
