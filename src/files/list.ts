/** The work of `files.list` (spec files.md §4). */
import type { FolderEntry } from '../../platform/files.ts';
import { sortInTurns } from '../base/take-turns.ts';
import type { FilesServices } from './services.ts';

export interface ListedFolder {
  /** What to put in front of an entry's name to get its path. */
  readonly pathPrefix: string;
  /** In the byte order of their names, without those that start with a dot. */
  readonly entries: readonly FolderEntry[];
}

const dot = 0x2e;

/** @throws SystemCallError */
export async function listFolder(path: string, { platform, profile }: FilesServices): Promise<ListedFolder> {
  const { paths, files } = platform;
  const folder = paths.expandTilde(path);
  const found = await files.list(folder, profile.files.listNonDirText === 'readdirent' ? 'any' : 'folderOnly');
  const visible = found.filter(({ name }) => name[0] !== dot);
  const entries = await sortInTurns(visible, (a, b) => Buffer.compare(a.name, b.name));
  return { pathPrefix: pathPrefixOf(paths.clean(folder)), entries };

  /** Entries of the current folder are told by their plain names; a root ends in a separator already. */
  function pathPrefixOf(cleaned: string): string {
    if (cleaned === '.') {
      return '';
    }
    return cleaned.endsWith(paths.separator) ? cleaned : cleaned + paths.separator;
  }
}
