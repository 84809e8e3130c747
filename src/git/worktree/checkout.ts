/** The files of a worktree that was added without them (spec git.md §6.4.6). */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandResult } from '../../base/run-command.ts';
import type { Repository } from '../run/repository.ts';

/** A program that git has started may keep git's output open for so long after git's own end. */
const outputGraceMs = 5_000;

export interface CheckoutRequest {
  /** Absolute. */
  readonly worktree: string;
  /** The git directory of the repository. */
  readonly gitDirectory: string;
  /** The worktree's registration, into which the index is written. */
  readonly entry: string;
  /** Commit id or full name of a branch. */
  readonly revision: string;
  /** Milliseconds left; `undefined`: no limit. */
  readonly timeoutMs: number | undefined;
}

/**
 * Checks out into the worktree with an index of our own, which then becomes the worktree's index. So git does not write to
 * any file that the worktree's `.git` leads to.
 * @returns the call that failed; `undefined` when the files are there
 * @throws Node's error when the index cannot be written
 */
export function checkOut(repository: Repository, request: CheckoutRequest): Promise<CommandResult | undefined> {
  return repository.program.temporaryFolders.with(async (folder) => {
    const indexFile = join(folder, 'index');
    const result = await repository.run(['read-tree', '-u', '--reset', '--no-recurse-submodules', request.revision], {
      directory: request.worktree,
      gitDirectory: request.gitDirectory,
      options: ['-c', 'core.splitIndex=false', '-c', 'core.commitGraph=false', `--work-tree=${request.worktree}`],
      indexFile,
      mayFetch: true,
      timeoutMs: request.timeoutMs,
      outputGraceMs,
    });
    if (result.failure !== undefined) {
      return result;
    }
    const index = await open(join(request.entry, 'index'), 'wx', 0o666);
    try {
      await index.writeFile(await readFile(indexFile));
    } finally {
      await index.close();
    }
    return undefined;
  });
}
