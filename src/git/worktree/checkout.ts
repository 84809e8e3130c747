/** The files of a worktree that was added without them (spec git.md §6.4.6). */
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandResult } from '../../base/run-command.ts';
import type { Repository } from '../run/repository.ts';

/** How long something that git started may keep git's output open after git's own end. */
const outputGraceMs = 5_000;

export interface CheckoutRequest {
  /** Absolute. */
  readonly worktree: string;
  /** Of the repository. */
  readonly gitDirectory: string;
  /** The worktree's registration, which gets the index. */
  readonly entry: string;
  /** Commit id or full name of a branch. */
  readonly revision: string;
  /** Milliseconds left; `undefined`: no limit. */
  readonly timeoutMs: number | undefined;
}

/**
 * Checks out into the worktree with an index of our own, which then becomes the worktree's: git never works on a file
 * the worktree's `.git` leads to.
 * @returns the failed call; `undefined` when all is done
 * @throws Node's error when the index cannot be written
 */
export async function checkOut(repository: Repository, request: CheckoutRequest): Promise<CommandResult | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-git-'));
  try {
    const indexFile = join(folder, 'index');
    const result = await repository.run(['read-tree', '-u', '--reset', '--no-recurse-submodules', request.revision], {
      directory: request.worktree,
      gitDirectory: request.gitDirectory,
      options: ['-c', 'core.splitIndex=false', '-c', 'core.commitGraph=false', `--work-tree=${request.worktree}`],
      indexFile,
      mayRunPrograms: true,
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
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
