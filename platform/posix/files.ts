/** The file system of Linux and macOS (platform/files.ts says what is promised). */
import fs, { close, constants, type Dirent, open as openCallback, type Stats } from 'node:fs';
import { posix } from 'node:path';
import { promisify } from 'node:util';
import { as } from '../common/file-error.ts';
import { createFolder, createParents, kindOf, unlinkOrRmdir } from '../common/node-files.ts';
import { NodeReadableFile } from '../common/readable-file.ts';
import { assertMayGo } from '../common/removal-guard.ts';
import { SystemCallError } from '../errors.ts';
import type { FileCalls, FileStatus, FolderEntry, FolderHandle } from '../files.ts';
import type { Paths } from '../paths.ts';
import { createAtCalls } from './at-calls.ts';
import { PosixFolderHandle, searchFolder } from './folder-handle.ts';
import { user } from './home.ts';
import { hasProc } from './proc-files.ts';
import { removeTree } from './remove-tree.ts';

/** How many links of a listing are looked at together: enough to keep libuv's threads busy. */
const linksAtOnce = 16;
/** Entries that are read in one piece: a folder may have millions, and others have their turns in between. */
const entriesAtOnce = 256;

/** Never waits for a FIFO's writer, and a terminal does not become ours. */
const readSpecial = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

const readFolder = constants.O_RDONLY | constants.O_DIRECTORY;

const openDescriptor = promisify<string, number, number>(openCallback);
const closeDescriptor = promisify(close);

const slash = Buffer.from('/');

export function createFiles(paths: Paths): FileCalls {
  const calls = createAtCalls(paths);

  async function toStatus(found: Stats): Promise<FileStatus> {
    const kind = kindOf(found);
    return {
      kind,
      size: found.size,
      permissions: found.mode & 0o7777,
      modifiedMs: found.mtimeMs,
      isNullDevice: kind === 'characterDevice' && (await isNullDevice(found)),
    };
  }

  async function list(path: string, opening: 'any' | 'folderOnly'): Promise<FolderEntry[]> {
    const flags = opening === 'any' ? readSpecial : readSpecial | constants.O_DIRECTORY;
    const folder = await as(paths, 'open', path, () => fs.promises.open(path, flags));
    try {
      if (!(await folder.stat()).isDirectory()) {
        throw new SystemCallError(`readdirent ${path}: ${paths.reasonForCode('ENOTDIR')}`, 'ENOTDIR');
      }
      // Read through the descriptor where the OS allows it, so that it is the folder that was opened.
      const base = hasProc ? `/proc/self/fd/${folder.fd}` : path;
      return await as(paths, 'readdirent', path, () => readEntries(base));
    } finally {
      await folder.close();
    }
  }

  async function createFolders(path: string): Promise<FolderHandle> {
    await createParents(paths, posix.dirname(path));
    await createFolder(paths, path);
    return openFolder(path);
  }

  async function reopenThroughParent(path: string, made: FolderHandle): Promise<FolderHandle | 'changed'> {
    const above = posix.dirname(path);
    const parent = await as(paths, 'open', above, () => openDescriptor(above, readFolder));
    try {
      const descriptor = await calls.open(parent, Buffer.from(posix.basename(path)), readFolder);
      const folder = new PosixFolderHandle(calls, paths, descriptor, path);
      if (made instanceof PosixFolderHandle && (await folder.isSameAs(made))) {
        return folder;
      }
      await folder.close();
      return 'changed';
    } finally {
      await closeDescriptor(parent);
    }
  }

  async function openFolder(path: string): Promise<FolderHandle> {
    const descriptor = await as(paths, 'open', path, () => openDescriptor(path, searchFolder | constants.O_NOFOLLOW));
    return new PosixFolderHandle(calls, paths, descriptor, path);
  }

  async function removeTreeAt(path: string): Promise<void> {
    await assertMayGo(path, { paths, host: user });
    let parent: number;
    try {
      parent = await as(paths, 'unlinkat', path, () => openDescriptor(posix.dirname(path), searchFolder));
    } catch (error) {
      if ((error as SystemCallError).code === 'ENOENT') {
        return;
      }
      throw error;
    }
    try {
      await removeTree(calls, paths, parent, Buffer.from(posix.basename(path)), path);
    } finally {
      await closeDescriptor(parent);
    }
  }

  function remove(path: string): Promise<void> {
    return as(paths, 'unlinkat', path, () => unlinkOrRmdir(path));
  }

  return {
    status: async (path) => toStatus(await as(paths, 'stat', path, () => fs.promises.stat(path))),
    statusOfEntry: async (path) => toStatus(await as(paths, 'lstat', path, () => fs.promises.lstat(path))),
    openForReading: async (path) => {
      const handle = await as(paths, 'open', path, () => fs.promises.open(path, readSpecial));
      return new NodeReadableFile(paths, handle, path, toStatus);
    },
    list,
    createFolders,
    reopenThroughParent,
    openFolder,
    rename: (from, to) => as(paths, 'rename', `${from} ${to}`, () => fs.promises.rename(from, to)),
    remove,
    removeTree: removeTreeAt,
  };
}

/** Whether the entry, or what the link leads to, is a folder. */
async function readEntries(base: string): Promise<FolderEntry[]> {
  const entries: FolderEntry[] = [];
  let links: Buffer[] = [];
  const lookAtLinks = async (): Promise<void> => {
    const names = links;
    links = [];
    entries.push(...(await Promise.all(names.map((name) => lookAtLink(base, name)))));
  };
  // The types of opendir know texts only.
  const encoding = 'buffer' as BufferEncoding;
  for await (const found of await fs.promises.opendir(base, { encoding, bufferSize: entriesAtOnce })) {
    const entry = found as unknown as Dirent<Buffer>;
    if (entry.isSymbolicLink()) {
      links.push(entry.name);
    } else {
      entries.push({ name: entry.name, isDirectory: entry.isDirectory() });
    }
    if (links.length === linksAtOnce) {
      await lookAtLinks();
    }
  }
  await lookAtLinks();
  return entries;
}

async function lookAtLink(base: string, name: Buffer): Promise<FolderEntry> {
  const target = await fs.promises.stat(Buffer.concat([Buffer.from(base), slash, name])).catch(() => undefined);
  return { name, isDirectory: target?.isDirectory() ?? false };
}

/** Another node with the same device numbers is another file (spec files.md §5.2). */
async function isNullDevice(found: Stats): Promise<boolean> {
  const known = await fs.promises.stat('/dev/null').catch(() => undefined);
  return known !== undefined && known.dev === found.dev && known.ino === found.ino;
}
