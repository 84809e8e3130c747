/** `git.status` (spec git.md §4). */
import { join, resolve } from 'node:path';
import type { CommandResult } from '../../base/run-command.ts';
import { RpcError } from '../../doors/rpc/errors.ts';
import type { ResultObject } from '../../wire/json.ts';
import { decodeBytes } from '../../wire/utf8.ts';
import { entryAt } from '../run/control-files.ts';
import { NoRepository } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { openRepository } from '../run/open-repository.ts';
import { cutBytes, lineOf, linesOf, trimSpace } from '../run/output-text.ts';
import { copyGitDirectory, type PrivateGitDirectory } from '../run/private-git-directory.ts';
import { type CallOptions, Repository } from '../run/repository.ts';
import { placeOf } from './managed-place.ts';
import { sessionEntry } from './session-entry.ts';
import { submoduleEntries } from './submodule-entries.ts';
import { submoduleProgramPins } from './submodule-programs.ts';

const noRepository: ResultObject = { isRepo: false, clean: false };

/** Bounds of the answers that also list submodules. */
const mostLines = 10_000;
const lineBytes = 512;

/**
 * Of any repository (profile row `git.status.scope`).
 * @param path after tilde; `''`: the daemon's own working directory
 * @throws RpcError with the failure of the call
 */
export async function repositoryStatus(program: GitProgram, path: string): Promise<ResultObject> {
  const repository = new Repository(program, path);
  repository.prepareForPrograms();
  const gitDirectory = await repository.run(['rev-parse', '--git-dir']);
  if (gitDirectory.failure !== undefined) {
    return noRepository;
  }
  const folder = resolve(path);
  repository.pinAlso(submoduleProgramPins(repository, folder, resolve(folder, lineOf(gitDirectory))));
  const status = await repository.run(['status', '--porcelain'], {
    set: 'heavy',
    statusLike: true,
    mayRunPrograms: true,
  });
  const text = decodeBytes(succeeded(status).stdout);
  // Trimming the whole costs the first entry its leading space: that is the contract.
  const changes = program.services.profile.git.status.trimBlob ? trimSpace(text) : text.replace(/\n$/, '');
  return changes === '' ? { isRepo: true, clean: true } : { isRepo: true, clean: false, changes: changes.split('\n') };
}

/**
 * Of a linked worktree of `baseRepo`.
 * @param path after tilde
 * @param baseRepo after tilde, not empty
 * @throws RpcError with the failure of the call; GitRefusal
 */
export async function sessionWorktreeStatus(
  program: GitProgram,
  path: string,
  baseRepo: string,
): Promise<ResultObject> {
  const { platform } = program.services;
  if ((await placeOf(baseRepo, platform.git)).state !== 'outside') {
    return noRepository;
  }
  let repository: Repository;
  try {
    ({ repository } = await openRepository(program, baseRepo));
  } catch (error) {
    if (error instanceof NoRepository) {
      return noRepository;
    }
    throw error;
  }
  repository.prepareForPrograms();
  const where = await repository.run(['rev-parse', '--absolute-git-dir'], { set: 'heavy' });
  const commonDirectory = lineOf(where);
  if (where.failure !== undefined || !(await entryAt(join(commonDirectory, 'worktrees')))?.isDirectory()) {
    return noRepository;
  }
  const entry = await sessionEntry(repository, path, commonDirectory);
  if (entry === undefined) {
    return noRepository;
  }
  const copy = await copyGitDirectory(entry, commonDirectory, platform.paths);
  if (copy === undefined) {
    return noRepository;
  }
  try {
    return await statusThrough(copy, repository, path, commonDirectory);
  } finally {
    await copy[Symbol.asyncDispose]();
  }
}

/** Asks git by way of a private copy of the worktree's git directory. @throws RpcError with the failure of the call */
async function statusThrough(
  copy: PrivateGitDirectory,
  repository: Repository,
  path: string,
  commonDirectory: string,
): Promise<ResultObject> {
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
  // Neither needs the other's answer.
  const [status, submodules] = await Promise.all([
    ask(['status', '--porcelain', '--untracked-files=all', '--ignore-submodules=all'], { mayRunPrograms: true }),
    listsSubmodules ? submoduleEntries(worktree, join(copy.path, 'index'), program.services.platform.paths, ask) : [],
  ]);
  const { stdout } = succeeded(status);
  if (!listsSubmodules) {
    return answer(linesOf(stdout));
  }
  if ('failure' in submodules) {
    throw new RpcError('internal', submodules.failure);
  }
  return answer([...boundedLines(stdout), ...submodules]);
}

function answer(changes: readonly string[]): ResultObject {
  return changes.length === 0 ? { isRepo: true, clean: true } : { isRepo: true, clean: false, changes };
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

function succeeded(result: CommandResult): CommandResult {
  if (result.failure !== undefined) {
    throw new RpcError('internal', result.failure);
  }
  return result;
}
