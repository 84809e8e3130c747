/** The index of a checkout becomes that of the worktree (spec git.md §6.4.6, generation-n2.md §10.3). */
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { FolderHandle, WritableFile } from '../../../platform/files.ts';
import type { Paths } from '../../../platform/paths.ts';
import type { Platform } from '../../../platform/platform.ts';
import { codeOf, inFolder } from './held-folders.ts';

/** `message` is wire text. */
export class IndexNotPlaced extends Error {
  override readonly name = 'IndexNotPlaced';
}

/**
 * Writes the index as a new file, never into one that is there: what stands in its place is removed once. The registration
 * is reached through folders that are held open, so no link leads the index elsewhere.
 * @param made the index that git has written into a folder of ours
 * @param entry the worktree's registration
 * @throws IndexNotPlaced
 */
export async function placeIndex(
  made: string,
  entry: string,
  { files, paths }: Pick<Platform, 'files' | 'paths'>,
): Promise<void> {
  const shown = `${basename(entry)}/${name}`;
  const content = await naming(`open ${made}`, paths, () => readFile(made));
  const { mtimeNs } = await naming(`open ${made}`, paths, () => stat(made, { bigint: true }));
  const registrations = dirname(entry);
  await naming(`openat ${shown}`, paths, () =>
    inFolder(files, dirname(registrations), [basename(registrations), basename(entry)], async (folder) => {
      const index = await createAnew(folder, shown, paths);
      try {
        await index.write(content);
        // git takes a file for changed when it is not older than the index, so the time must not become an earlier one.
        const microseconds = (mtimeNs + 999n) / 1_000n;
        // Half a microsecond more, because the number is cut off on its way to the system.
        await index.setTime((Number(microseconds) + 0.5) / 1_000_000).catch(() => {});
      } finally {
        await index.close();
      }
    }),
  );
}

const name = 'index';

async function createAnew(folder: FolderHandle, shown: string, paths: Paths): Promise<WritableFile> {
  const bytes = Buffer.from(name);
  try {
    return await folder.createFile(bytes, 0o666, 'new');
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') {
      throw error;
    }
  }
  await naming(`removeat ${shown}`, paths, () => folder.removeFile(bytes));
  return folder.createFile(bytes, 0o666, 'new');
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
