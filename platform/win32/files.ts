/** The file system of Windows (platform/files.ts says what is promised). */
import type { Dirent, Stats } from 'node:fs';
import { type FileHandle, lstat, open, readdir, rename, stat } from 'node:fs/promises';
import { win32 } from 'node:path';
import { as, fileError } from '../common/file-error.ts';
import { createFolder, createParents, kindOf, unlinkOrRmdir } from '../common/node-files.ts';
import { assertMayGo } from '../common/removal-guard.ts';
import { SystemCallError } from '../errors.ts';
import type { FileOperations, FileStatus, FolderEntry, FolderHandle, ReadableFile } from '../files.ts';
import type { Paths } from '../paths.ts';
import { WindowsFolderHandle } from './folder-handle.ts';
import { Patience, replacing } from './held-by-others.ts';
import { user } from './home.ts';
import { isLink } from './link.ts';
import { removeTree } from './remove-tree.ts';
import { WindowsError } from './system-errors.ts';

/** Longest path in UTF-16 units; no path has more of them than it has bytes. */
const longestPath = 32_767;

/** Longest component of a path, in UTF-16 units. */
const longestName = 255;
const errorInvalidName = 123;

/** Links of a listing looked at together: enough to keep libuv's threads busy. */
const linksAtOnce = 16;

export function createFiles(paths: Paths): FileOperations {
  class WindowsReadableFile implements ReadableFile {
    readonly #handle: FileHandle;
    readonly #path: string;

    constructor(handle: FileHandle, path: string) {
      this.#handle = handle;
      this.#path = path;
    }

    async status(): Promise<FileStatus> {
      return toStatus(await as(paths, 'stat', this.#path, () => this.#handle.stat()));
    }

    async read(buffer: Buffer): Promise<number> {
      const { bytesRead } = await as(paths, 'read', this.#path, () =>
        this.#handle.read(buffer, 0, buffer.length, null),
      );
      return bytesRead;
    }

    close(): Promise<void> {
      return this.#handle.close();
    }
  }

  /**
   * Node makes every path into one that skips Windows' own tests of its spelling, so that a name Windows calls wrong
   * would be a missing file. @throws SystemCallError
   */
  function assertSpelling(operation: string, path: string): void {
    const { root } = win32.parse(path);
    const names = path.slice(root.length).split(/[\\/]/);
    if (names.some((name) => name.length > longestName || /[<>"|?*\x01-\x1f]/.test(name))) {
      throw fileError(paths, operation, path, new WindowsError(operation, errorInvalidName));
    }
  }

  /** A separator behind the name of a file. @throws SystemCallError */
  function assertFolderBeforeSeparator(operation: string, path: string, found: Stats): void {
    if (/[\\/]$/.test(path) && !found.isDirectory()) {
      throw fileError(paths, operation, path, new WindowsError(operation, errorInvalidName));
    }
  }

  async function statusOf(path: string): Promise<FileStatus> {
    assertSpelling('CreateFile', path);
    const found = await as(paths, 'CreateFile', path, () => stat(path));
    assertFolderBeforeSeparator('CreateFile', path, found);
    return toStatus(found);
  }

  async function openForReading(path: string): Promise<ReadableFile> {
    assertSpelling('open', path);
    const handle = await as(paths, 'open', path, () => open(path, 'r'));
    try {
      if (/[\\/]$/.test(path)) {
        assertFolderBeforeSeparator('open', path, await handle.stat());
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new WindowsReadableFile(handle, path);
  }

  async function list(path: string, opening: 'any' | 'folderOnly'): Promise<FolderEntry[]> {
    assertSpelling('open', path);
    const found = await as(paths, 'open', path, () => stat(path));
    if (!found.isDirectory()) {
      const operation = opening === 'any' ? 'readdirent' : 'open';
      throw new SystemCallError(`${operation} ${path}: ${paths.reasonForCode('ENOTDIR')}`, 'ENOTDIR');
    }
    const dirents = await as(paths, 'open', path, () => readdir(path, { withFileTypes: true }));
    const entries: FolderEntry[] = [];
    for (let at = 0; at < dirents.length; at += linksAtOnce) {
      const some = dirents.slice(at, at + linksAtOnce);
      entries.push(...(await Promise.all(some.map((entry) => lookAt(path, entry)))));
    }
    return entries;
  }

  async function createFolders(path: string): Promise<FolderHandle> {
    await createParents(paths, win32.dirname(path));
    await createFolder(paths, path);
    return openFolder(path);
  }

  async function openFolder(path: string): Promise<FolderHandle> {
    return as(paths, 'open', path, () => WindowsFolderHandle.open(paths, path));
  }

  async function statusOfEntry(path: string): Promise<FileStatus> {
    const found = await as(paths, 'lstat', path, () => lstat(path));
    const status = toStatus(found);
    // Node knows two kinds of reparse point as links; what the others lead to is not ours to judge either.
    return status.kind !== 'link' && isLink(path) ? { ...status, kind: 'link' } : status;
  }

  function remove(path: string): Promise<void> {
    return as(paths, 'unlinkat', path, () => new Patience().with(() => unlinkOrRmdir(path)));
  }

  return {
    longestPath,
    status: statusOf,
    statusOfEntry,
    openForReading,
    list,
    createFolders,
    reopenThroughParent: async (_path, made) => made,
    openFolder,
    rename: (from, to) =>
      as(paths, 'rename', `${from} ${to}`, () => new Patience(replacing).with(() => rename(from, to))),
    remove,
    removeTree: async (path) => {
      await assertMayGo(path, { paths, host: user });
      await removeTree(paths, path);
    },
    splitEntryName,
    isReservedName,
  };
}

/** Whether the entry, or what the link leads to, is a folder. */
async function lookAt(folder: string, entry: Dirent): Promise<FolderEntry> {
  const name = Buffer.from(entry.name);
  if (!entry.isSymbolicLink()) {
    return { name, isDirectory: entry.isDirectory() };
  }
  const target = await stat(win32.join(folder, entry.name)).catch(() => undefined);
  return { name, isDirectory: target?.isDirectory() ?? false };
}

function toStatus(found: Stats): FileStatus {
  const kind = kindOf(found);
  return {
    kind,
    size: found.size,
    permissions: kind === 'directory' ? 0o777 : (found.mode & 0o200) === 0 ? 0o444 : 0o666,
    modifiedMs: found.mtimeMs,
    isNullDevice: false,
  };
}

const separators: readonly (number | undefined)[] = [0x2f, 0x5c];

function splitEntryName(name: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (let at = 0; at <= name.length; at++) {
    if (at < name.length && !separators.includes(name[at])) {
      continue;
    }
    parts.push(name.subarray(start, at));
    start = at + 1;
  }
  return parts;
}

const deviceName = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[. ]*$/i;

function isReservedName(part: Buffer): boolean {
  const text = part.toString();
  return text.includes(':') || deviceName.test(text);
}
