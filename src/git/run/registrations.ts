import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { LimitReached } from './failures.ts';

/** More worktrees than anybody has. */
const mostWorktrees = 10_000;

/**
 * Names of what is in `<common directory>/worktrees`, one for each linked worktree (gitrepository-layout(5)).
 * @throws Node's error when that cannot be looked at; LimitReached
 */
export async function registrationsIn(commonDirectory: string): Promise<string[]> {
  const folder = join(commonDirectory, 'worktrees');
  const names: string[] = [];
  try {
    for await (const { name } of await opendir(folder, { bufferSize: 1_024 })) {
      if (names.length === mostWorktrees) {
        throw new LimitReached(
          `git not run: ${folder} has more than ${mostWorktrees} entries, the most that are looked at; remove those of worktrees that are gone (git worktree prune)`,
        );
      }
      names.push(name);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw error;
    }
  }
  return names.sort();
}
