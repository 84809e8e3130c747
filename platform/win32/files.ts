/** The file system of Windows (platform/files.ts says what is promised). */
import fs, { type Dirent, type Stats } from 'node:fs';
import { win32 } from 'node:path';
import { as, fileError } from '../common/file-error.ts';
import { createFolder, createParents, kindOf, unlinkOrRmdir } from '../common/node-files.ts';
import { NodeReadableFile } from '../common/readable-file.ts';
import { assertMayGo } from '../common/removal-guard.ts';
import { SystemCallError } from '../errors.ts';
import type { FileCalls, FileStatus, FolderEntry, FolderHandle, ReadableFile } from '../files.ts';
import type { Paths } from '../paths.ts';
import { asWindowsReads, kindOfDevice, type ReadPath } from './devices.ts';
import { WindowsFolderHandle } from './folder-handle.ts';
import { Patience, replacing } from './held-by-others.ts';
import { user } from './home.ts';
import { isLink } from './link.ts';
import { removeTree } from './remove-tree.ts';
import { WindowsError } from './system-errors.ts';

/** Longest component of a path, in UTF-16 units. */
const longestName = 255;
const errorInvalidName = 123;
const errorNoDirectory = 267;

/** Links of a listing looked at together: enough to keep libuv's threads busy. */
const linksAtOnce = 16;

export function createFiles(paths: Paths): FileCalls {
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

  /** @param operation of the error's text. @throws SystemCallError */
  function statusOfDevice(operation: string, path: string, device: ReadPath): FileStatus {
    try {
      return { kind: kindOfDevice(device), size: 0, permissions: 0o666, modifiedMs: 0, isNullDevice: false };
    } catch (error) {
      const [call = ''] = (error as Error).message.split(':');
      throw fileError(paths, call === 'CreateFile' ? operation : call, path, error);
    }
  }

  async function statusOf(path: string): Promise<FileStatus> {
    const read = asWindowsReads(path);
    if (read.isDevice) {
      return statusOfDevice('CreateFile', path, read);
    }
    assertSpelling('CreateFile', path);
    const found = await as(paths, 'CreateFile', path, () => fs.promises.stat(read.path));
    assertFolderBeforeSeparator('CreateFile', path, found);
    return toStatus(found);
  }

  async function openForReading(path: string): Promise<ReadableFile> {
    const read = asWindowsReads(path);
    if (read.isDevice) {
      return new Device(statusOfDevice('open', path, read));
    }
    assertSpelling('open', path);
    // Of the name of a file with a separator behind it Windows says another thing here than where it is only looked at.
    const handle = await as(paths, 'open', path, () =>
      fs.promises.open(read.path.replace(/(?<=[^:\\/])[\\/]+$/, ''), 'r'),
    );
    try {
      if (/[\\/]$/.test(path) && !(await handle.stat()).isDirectory()) {
        throw fileError(paths, 'open', path, new WindowsError('open', errorNoDirectory));
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new NodeReadableFile(paths, handle, path, toStatus);
  }

  async function list(path: string, opening: 'any' | 'folderOnly'): Promise<FolderEntry[]> {
    assertSpelling('open', path);
    const read = asWindowsReads(path).path;
    const found = await as(paths, 'open', path, () => fs.promises.stat(read));
    if (!found.isDirectory()) {
      const operation = opening === 'any' ? 'readdirent' : 'open';
      throw new SystemCallError(`${operation} ${path}: ${paths.reasonForCode('ENOTDIR')}`, 'ENOTDIR');
    }
    const dirents = await as(paths, 'open', path, () => fs.promises.readdir(read, { withFileTypes: true }));
    const entries: FolderEntry[] = [];
    for (let at = 0; at < dirents.length; at += linksAtOnce) {
      const some = dirents.slice(at, at + linksAtOnce);
      entries.push(...(await Promise.all(some.map((entry) => lookAt(read, entry)))));
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
    const found = await as(paths, 'lstat', path, () => fs.promises.lstat(path));
    const status = toStatus(found);
    // Node knows two kinds of reparse point as links; what the others lead to is not ours to judge either.
    return status.kind !== 'link' && isLink(path) ? { ...status, kind: 'link' } : status;
  }

  function remove(path: string): Promise<void> {
    return as(paths, 'unlinkat', path, () => new Patience().with(() => unlinkOrRmdir(path)));
  }

  return {
    status: statusOf,
    statusOfEntry,
    openForReading,
    list,
    createFolders,
    reopenThroughParent: async (_path, made) => made,
    openFolder,
    rename: (from, to) =>
      as(paths, 'rename', `${from} ${to}`, () => new Patience(replacing).with(() => fs.promises.rename(from, to))),
    remove,
    removeTree: async (path) => {
      await assertMayGo(path, { paths, host: user });
      await removeTree(paths, path);
    },
  };
}

/** What is no file of a folder is looked at, and its content is never asked for. */
class Device implements ReadableFile {
  readonly #status: FileStatus;

  constructor(status: FileStatus) {
    this.#status = status;
  }

  async status(): Promise<FileStatus> {
    return this.#status;
  }

  async read(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {}
}

/** Whether the entry, or what the link leads to, is a folder. */
async function lookAt(folder: string, entry: Dirent): Promise<FolderEntry> {
  const name = Buffer.from(entry.name);
  if (!entry.isSymbolicLink()) {
    return { name, isDirectory: entry.isDirectory() };
  }
  const target = await fs.promises.stat(win32.join(folder, entry.name)).catch(() => undefined);
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
