/** Where a repository lies: the top of its work tree and its git directories, as git itself answers it. */
import type { CommandResult } from '../../base/run-command.ts';
import { decodeBytes } from '../../wire/utf8.ts';
import { lineOf, trimSpace } from '../run/output-text.ts';
import type { CallOptions, Repository } from '../run/repository.ts';

/** Whether git finds a repository, with or without a work tree. */
export function isRepository(repository: Repository): Promise<boolean> {
  return repository.test(['rev-parse', '--git-dir']);
}

/**
 * The top of the work tree, absolute.
 * @returns `undefined` when there is no repository, or none with a work tree; else whether git tells the top
 */
export async function askWorkTree(repository: Repository): Promise<{ readonly top: string | undefined } | undefined> {
  // One call answers both questions, in this order. A top may have line ends in its name.
  const asked = await repository.run(['rev-parse', '--is-inside-work-tree', '--show-toplevel']);
  const said = decodeBytes(asked.stdout);
  if (!said.startsWith('true\n')) {
    return undefined;
  }
  return { top: asked.failure === undefined ? said.slice('true\n'.length).replace(/\r?\n$/, '') : undefined };
}

/** Whether the repository's directory is in a work tree; a bare repository has none. */
export async function isInWorkTree(repository: Repository): Promise<boolean> {
  const asked = await repository.run(['rev-parse', '--is-inside-work-tree']);
  return asked.failure === undefined && trimSpace(asked.stdout.toString('latin1')) === 'true';
}

/** The top of the work tree, absolute. */
export function askTopLevel(repository: Repository, options: CallOptions = {}): Promise<CommandResult> {
  return repository.run(['rev-parse', '--show-toplevel'], options);
}

/** The git directory, absolute; for a linked worktree this is its entry. */
export function askGitDirectory(repository: Repository, options: CallOptions = {}): Promise<CommandResult> {
  return repository.run(['rev-parse', '--absolute-git-dir'], options);
}

/** The line that one of the questions above was answered with; `undefined` when the call failed. */
export function answerOf(asked: CommandResult): string | undefined {
  return asked.failure === undefined ? lineOf(asked) : undefined;
}
