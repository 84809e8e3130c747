/** `files.list` (spec files.md §4). */
import { SystemCallError } from '../../platform/errors.ts';
import type { FolderEntry } from '../../platform/files.ts';
import type { ResultObject } from '../wire/json.ts';
import { decodeBytes } from '../wire/utf8.ts';
import type { FilesServices } from './services.ts';
import { systemError } from './stat.ts';

const dot = 0x2e;

/**
 * Entries in the byte order of their names, without those that start with a dot.
 * @throws RpcError with the operating system's text
 */
export async function listFolder(path: string, { platform, profile }: FilesServices): Promise<ResultObject> {
  const { paths, files } = platform;
  const folder = paths.expandTilde(path);
  const found = await readEntries(folder);
  const prefix = joinPrefix(paths.clean(folder));
  const entries = found
    .filter(({ name }) => name[0] !== dot)
    .sort((a, b) => Buffer.compare(a.name, b.name))
    .map((entry) => {
      const name = decodeBytes(entry.name);
      return { name, path: prefix + name, isDir: entry.isDirectory };
    });
  return { entries };

  async function readEntries(at: string): Promise<FolderEntry[]> {
    try {
      return await files.list(at, profile.files.listNonDirText === 'readdirent' ? 'any' : 'folderOnly');
    } catch (error) {
      throw error instanceof SystemCallError ? systemError(error) : error;
    }
  }

  /** The current folder gives plain names, a root has its separator already. */
  function joinPrefix(cleaned: string): string {
    if (cleaned === '.') {
      return '';
    }
    return cleaned.endsWith(paths.separator) ? cleaned : cleaned + paths.separator;
  }
}
