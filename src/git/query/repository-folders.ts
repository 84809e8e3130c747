/** Where a repository lies: the top of its work tree and its git directories, as git itself answers it. */
import type { CommandResult } from '../../base/run-command.ts';
import { lineOf, trimSpace } from '../run/output-text.ts';
import type { CallOptions, Repository } from '../run/repository.ts';

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
