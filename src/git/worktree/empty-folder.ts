import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { assertMayGo } from '../../../platform/common/removal-guard.ts';
import type { SystemCallError } from '../../../platform/errors.ts';
import type { FolderHandle } from '../../../platform/files.ts';
import type { Paths } from '../../../platform/paths.ts';
import type { Platform } from '../../../platform/platform.ts';
import { decodeBytes } from '../../wire/utf8.ts';
import { assertPlace } from './true-place.ts';

/**
 * Deletes what is in a folder, not the folder, and stops at the first failure. Nothing outside the folder is touched,
 * even when another process swaps entries for links meanwhile.
 * @param last the entry that is deleted after all others
 * @param place where the folder must be, without links; `undefined`: wherever the path leads
 * @returns what could not be deleted, in the contract's words
 */
export async function emptyFolder(
  path: string,
  platform: Pick<Platform, 'files' | 'host' | 'paths'>,
  { last, place }: { readonly last?: string; readonly place?: string | undefined } = {},
): Promise<string | undefined> {
  const { files, paths } = platform;
  let names: Buffer[];
  let folder: FolderHandle;
  try {
    await assertMayGo(path, platform);
    folder = await files.openFolder(path);
    try {
      await assertPlace(folder, place);
      names = await readdir(path, { encoding: 'buffer' });
    } catch (error) {
      await folder.close();
      throw error;
    }
  } catch (error) {
    return (error as SystemCallError).code === 'ENOENT' ? undefined : removeAllText(basename(path), error, paths);
  }
  try {
    const isLast = (name: Buffer) => last !== undefined && name.toString() === last;
    for (const name of [...names.filter((each) => !isLast(each)), ...names.filter(isLast)]) {
      try {
        await folder.removeTree(name);
      } catch (error) {
        return removeAllText(decodeBytes(name), error, paths);
      }
    }
    return undefined;
  } finally {
    await folder.close();
  }
}

/** How the contract reports something that could not be deleted. */
export function removeAllText(name: string, error: unknown, paths: Paths): string {
  return `RemoveAll ${name}: ${paths.reason(error)}`;
}
