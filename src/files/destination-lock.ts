/** One at a time per folder: extraction and pruning of one destination never overlap (spec files.md §7.4). */

const tails = new Map<string, Promise<void>>();

/** Runs `work` after everything that was asked for the same cleaned path before. */
export async function exclusivelyAt<T>(cleanedPath: string, work: () => Promise<T>): Promise<T> {
  const before = tails.get(cleanedPath);
  const { promise: done, resolve: finish } = Promise.withResolvers<void>();
  tails.set(cleanedPath, done);
  try {
    await before;
    return await work();
  } finally {
    finish();
    if (tails.get(cleanedPath) === done) {
      tails.delete(cleanedPath);
    }
  }
}
