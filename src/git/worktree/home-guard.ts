import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { goQuote } from '../../../platform/go-quote.ts';
import type { GitServices } from '../run/services.ts';
import { WorktreeFailure } from './failures.ts';
import { withRealParent } from './real-path.ts';

/**
 * The home directory, and every folder that contains it, is never removed (spec git.md §8, register entry D2). Both the
 * spelling of the path and the place it leads to count. A link may be removed, wherever it leads to.
 * @param path as sent, after tilde; not empty
 * @param baseRepo as sent, after tilde
 * @throws WorktreeFailure
 */
export async function guardHome(path: string, baseRepo: string, services: GitServices): Promise<void> {
  const { paths, host } = services.platform;
  const home = host.home();
  const homes = home === undefined ? [] : [paths.clean(home), await realpath(home).catch(() => paths.clean(home))];
  // git counts a relative path from the repository, our own delete counts it from our working directory.
  const spelled = [resolve(path), resolve(baseRepo, path)];
  const targets = [...spelled, ...(await Promise.all(spelled.map(withRealParent)))];
  const hitsHome = targets.some((target) => paths.isRoot(target) || homes.some((each) => paths.isWithin(each, target)));
  if (hitsHome) {
    throw new WorktreeFailure(
      `worktreePath must not be or contain the home directory: ${goQuote(path)}`,
      'unsafe_path',
    );
  }
}
