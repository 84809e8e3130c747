/** The index of a checkout becomes that of the worktree (spec git.md §6.4.6, generation-n2.md §10.3). */
import { type FileHandle, open, readFile, stat, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Paths } from '../../../platform/paths.ts';

/** `message` is wire text. */
export class IndexNotPlaced extends Error {
  override readonly name = 'IndexNotPlaced';
}

/**
 * Writes the index as a new file, never into one that is there: what stands in its place is removed once.
 * @param made the index that git has written into a folder of ours
 * @param entry the worktree's registration
 * @throws IndexNotPlaced
 */
export async function placeIndex(made: string, entry: string, paths: Paths): Promise<void> {
  const place = join(entry, 'index');
  const shown = `${basename(entry)}/index`;
  const content = await naming(`open ${made}`, paths, () => readFile(made));
  const { mtimeNs } = await naming(`open ${made}`, paths, () => stat(made, { bigint: true }));
  const index = await naming(`openat ${shown}`, paths, () => createAnew(place, shown, paths));
  try {
    await naming(`openat ${shown}`, paths, () => index.writeFile(content));
    // git takes a file for changed when it is not older than the index, so the time must not become an earlier one.
    const microseconds = (mtimeNs + 999n) / 1_000n;
    // Half a microsecond more, because the number is cut off on its way to the system.
    const seconds = (Number(microseconds) + 0.5) / 1_000_000;
    await index.utimes(seconds, seconds).catch(() => {});
  } finally {
    await index.close();
  }
}

async function createAnew(place: string, shown: string, paths: Paths): Promise<FileHandle> {
  try {
    return await open(place, 'wx', 0o666);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
  }
  await naming(`removeat ${shown}`, paths, () => unlink(place));
  return open(place, 'wx', 0o666);
}

async function naming<T>(call: string, paths: Paths, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof IndexNotPlaced
      ? error
      : new IndexNotPlaced(`${call}: ${paths.reason(error)}`, { cause: error });
  }
}
