/** The folders from the common directory to the file of a branch, all held open. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemCallError } from '../../../platform/errors.ts';
import type { FolderHandle } from '../../../platform/files.ts';
import { entryAt } from '../run/control-files.ts';
import { codeOf, openOrCreate } from './held-folders.ts';

export class HeldWay {
  readonly #common: FolderHandle;
  readonly #folders: { readonly name: string; readonly folder: FolderHandle }[] = [];

  private constructor(common: FolderHandle) {
    this.#common = common;
  }

  /**
   * Missing folders are made.
   * @param common stays open as long as the way, and is closed by whoever has opened it
   * @param real its path
   * @throws SystemCallError; `ELOOP` when a folder is a link, `EISFILE` when it is a file
   */
  static async open(common: FolderHandle, real: string, names: readonly string[]): Promise<HeldWay> {
    const way = new HeldWay(common);
    let path = real;
    try {
      for (const name of names) {
        path = join(path, name);
        way.#folders.push({ name, folder: await openOrCreate(way.last, name) });
      }
      return way;
    } catch (error) {
      await way.removeEmpty();
      await way.close();
      throw codeOf(error) === 'ENOTDIR' ? await notAFolder(path) : error;
    }
  }

  get last(): FolderHandle {
    return this.#folders.at(-1)?.folder ?? this.#common;
  }

  /** Removes the folders that are empty, as git does, but for those that every repository has. */
  async removeEmpty(): Promise<void> {
    for (let index = this.#folders.length - 1; index >= kept; index--) {
      const above = this.#folders[index - 1]?.folder;
      try {
        await above?.removeFolder(Buffer.from(this.#folders[index]?.name ?? ''));
      } catch {
        return;
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#folders.map(({ folder }) => folder.close()));
  }
}

/** `refs` and `heads`. */
const kept = 2;

/** Only the text depends on what is there by now. */
async function notAFolder(path: string): Promise<SystemCallError> {
  return (await entryAt(path))?.isFile()
    ? new SystemCallError(`${path} is a file`, 'EISFILE')
    : new SystemCallError(linkOnTheWayText(path), 'ELOOP');
}

/** Wire text. */
export function linkOnTheWayText(link: string): string {
  return `${link} is a symbolic link, and the branch would be written through it; replace it by a real folder`;
}

/**
 * Removes a folder that has only empty folders in it, or stops at whatever else there is.
 * @param folder the one above it
 * @param path where it is, to find out what is in it; removed is what has these names in the folders that are held
 */
export async function removeEmptyFolders(folder: FolderHandle, path: string, name: string): Promise<void> {
  if (!(await entryAt(path))?.isDirectory()) {
    return;
  }
  try {
    const inner = await folder.openFolder(Buffer.from(name));
    try {
      for (const each of await readdir(path)) {
        await removeEmptyFolders(inner, join(path, each), each);
      }
    } finally {
      await inner.close();
    }
    await folder.removeFolder(Buffer.from(name));
  } catch {
    // Whatever needs the place will say so.
  }
}
