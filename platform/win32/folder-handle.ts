/** Folders held open so that nobody can rename or replace them: paths below one are safe meanwhile. */
import fs, { closeSync, ftruncateSync } from 'node:fs';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { as } from '../common/file-error.ts';
import { readDescriptor } from '../common/read-descriptor.ts';
import { WritableDescriptor } from '../common/writable-descriptor.ts';
import { SystemCallError } from '../errors.ts';
import type { FolderHandle, WritableFile } from '../files.ts';
import type { Paths } from '../paths.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { Patience, replacing } from './held-by-others.ts';
import { openPlainFile, type PlainFile } from './plain-file.ts';
import { removeTree } from './remove-tree.ts';
import { WindowsError } from './system-errors.ts';

export class WindowsFolderHandle implements FolderHandle {
  readonly #paths: Paths;
  readonly #folder: DirectoryHandle;

  private constructor(paths: Paths, folder: DirectoryHandle) {
    this.#paths = paths;
    this.#folder = folder;
  }

  /** @throws WindowsError; ENOTDIR for a link */
  static open(paths: Paths, path: string): WindowsFolderHandle {
    return new WindowsFolderHandle(paths, DirectoryHandle.open(path));
  }

  get asWorkingDirectory(): string {
    return this.#folder.path;
  }

  async place(): Promise<undefined> {
    // Nobody can rename the folder, or one above it, while it is open.
  }

  openFolder(name: Buffer): Promise<FolderHandle> {
    const path = this.#at(name);
    return as(this.#paths, 'openat', name.toString(), () => WindowsFolderHandle.open(this.#paths, path));
  }

  async createFolder(name: Buffer): Promise<void> {
    const path = this.#at(name);
    await as(this.#paths, 'mkdirat', name.toString(), () => fs.promises.mkdir(path));
  }

  async createFile(name: Buffer, _mode: number, how: 'empty' | 'new'): Promise<WritableFile> {
    const path = this.#at(name);
    const { fd } = await as(this.#paths, 'openat', name.toString(), () => openForWriting(path, how));
    return new WritableDescriptor(this.#paths, fd, path);
  }

  async readFile(name: Buffer, maxBytes: number): Promise<Buffer> {
    const path = this.#at(name);
    const { fd } = await as(this.#paths, 'openat', name.toString(), () =>
      openPlainFile(path, {
        access: kernel32.GENERIC_READ,
        share: kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE | kernel32.FILE_SHARE_DELETE,
        disposition: kernel32.OPEN_EXISTING,
        security: null,
      }),
    );
    return readDescriptor(this.#paths, fd, path, maxBytes);
  }

  async rename(name: Buffer, toName: Buffer): Promise<void> {
    const [from, to] = [this.#at(name), this.#at(toName)];
    await as(this.#paths, 'renameat', name.toString(), () =>
      new Patience(replacing).with(() => fs.promises.rename(from, to)),
    );
  }

  async removeFile(name: Buffer): Promise<void> {
    const path = this.#at(name);
    try {
      await as(this.#paths, 'unlinkat', name.toString(), () => fs.promises.unlink(path));
    } catch (error) {
      if ((error as SystemCallError).code !== 'ENOENT') {
        throw error;
      }
    }
  }

  async removeFolder(name: Buffer): Promise<void> {
    const path = this.#at(name);
    await as(this.#paths, 'unlinkat', name.toString(), () => fs.promises.rmdir(path));
  }

  removeTree(name: Buffer): Promise<void> {
    return removeTree(this.#paths, this.#at(name));
  }

  async close(): Promise<void> {
    this.#folder.close();
  }

  #at(name: Buffer): string {
    if (name.includes(0)) {
      throw new SystemCallError(`openat ${name.toString()}: ${this.#paths.reasonForCode('EINVAL')}`, 'EINVAL');
    }
    return this.#folder.at(name.toString());
  }
}

/** @throws WindowsError, or Node's error with EISDIR */
function openForWriting(path: string, how: 'empty' | 'new'): PlainFile {
  let file: PlainFile;
  try {
    file = openPlainFile(path, {
      access: kernel32.GENERIC_WRITE,
      share: kernel32.FILE_SHARE_READ,
      disposition: how === 'new' ? kernel32.CREATE_NEW : kernel32.OPEN_ALWAYS,
      security: null,
    });
  } catch (error) {
    throw isFolder(path, error) ? Object.assign(new Error('is a directory'), { code: 'EISDIR' }) : error;
  }
  try {
    if (how === 'empty') {
      ftruncateSync(file.fd, 0);
    }
    return file;
  } catch (error) {
    closeSync(file.fd);
    throw error;
  }
}

/** Windows says "access is denied" when a folder stands in the way. */
function isFolder(path: string, error: unknown): boolean {
  if (!(error instanceof WindowsError) || error.number !== kernel32.ERROR_ACCESS_DENIED) {
    return false;
  }
  try {
    DirectoryHandle.open(path).close();
    return true;
  } catch {
    return false;
  }
}
