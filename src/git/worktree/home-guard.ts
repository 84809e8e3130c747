import { resolve } from 'node:path';
import { whyKept } from '../../../platform/common/removal-guard.ts';
import { goQuote } from '../../../platform/go-quote.ts';
import type { GitServices } from '../run/services.ts';
import { WorktreeFailure } from './failures.ts';

/**
 * The home directory, and every folder that contains it, is never removed (spec git.md §8, register entry D2). Both the
 * spelling of the path and the place it leads to count. A link may be removed, wherever it leads to.
 * @param path as sent, after tilde; not empty
 * @param baseRepo as sent, after tilde
 * @throws WorktreeFailure
 */
export async function guardHome(path: string, baseRepo: string, services: GitServices): Promise<void> {
  // git counts a relative path from the repository, our own delete counts it from our working directory.
  for (const spelled of [resolve(path), resolve(baseRepo, path)]) {
    if ((await whyKept(spelled, services.platform)) !== undefined) {
      throw new WorktreeFailure(
        `worktreePath must not be or contain the home directory: ${goQuote(path)}`,
        'unsafe_path',
      );
    }
  }
}
