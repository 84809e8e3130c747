import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { GitProgram } from '../run/git-program.ts';

/**
 * Changes to the worktrees of one repository are made one after the other: in the order of arrival for one spelling of its
 * path, and never at the same time for two spellings. Questions about the repository go on meanwhile.
 * @param baseRepo after tilde
 */
export function oneChangeAtATime<T>(program: GitProgram, baseRepo: string, change: () => Promise<T>): Promise<T> {
  const spelled = resolve(baseRepo);
  return program.changesBySpelling.run(spelled, async () => {
    const real = await realpath(spelled).catch(() => spelled);
    return program.changesByRepository.run(real, change);
  });
}
