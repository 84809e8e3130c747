/** Folders and files reached through an open descriptor: what happens inside a folder stays inside it. */
import fs, { type BigIntStats, close as closeDescriptor, constants, fstat as fstatCallback } from 'node:fs';
import { promisify } from 'node:util';
import * as libc from '../../native-bindings/libc.ts';
import { as } from '../common/file-error.ts';
import { readDescriptor } from '../common/read-descriptor.ts';
import { WritableDescriptor } from '../common/writable-descriptor.ts';
import type { SystemCallError } from '../errors.ts';
import type { FolderHandle, WritableFile } from '../files.ts';
import type { Paths } from '../paths.ts';
import type { AtCalls } from './at-calls.ts';
import { hasProc } from './proc-files.ts';
import { removeTree } from './remove-tree.ts';

const close = promisify(closeDescriptor);
/** With every digit of the numbers, which a double may not hold. */
const fstat = (descriptor: number) =>
  new Promise<BigIntStats>((resolve, reject) =>
    fstatCallback(descriptor, { bigint: true }, (error, found) => (error === null ? resolve(found) : reject(error))),
  );

/** To reach what is inside, without a right to read the list of it. */
export const searchFolder = libc.O_SEARCH | constants.O_DIRECTORY;

const readWithoutWaiting = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

export class PosixFolderHandle implements FolderHandle {
  readonly #calls: AtCalls;
  readonly #paths: Paths;
  readonly #descriptor: number;
  /** For messages. */
  readonly #path: string;
  #open = true;

  constructor(calls: AtCalls, paths: Paths, descriptor: number, path: string) {
    this.#calls = calls;
    this.#paths = paths;
    this.#descriptor = descriptor;
    this.#path = path;
  }

  get asWorkingDirectory(): string | undefined {
    // A new process has our descriptors until its program starts, so this leads it to the folder itself.
    return hasProc ? `/proc/self/fd/${this.#descriptor}` : undefined;
  }

  async place(): Promise<string | undefined> {
    const path = this.asWorkingDirectory;
    return path === undefined ? undefined : as(this.#paths, 'readlink', this.#path, () => fs.promises.readlink(path));
  }

  async openFolder(name: Buffer): Promise<FolderHandle> {
    const descriptor = await this.#calls.open(this.#descriptor, name, searchFolder);
    return new PosixFolderHandle(this.#calls, this.#paths, descriptor, this.#pathOf(name));
  }

  createFolder(name: Buffer, mode = 0o700): Promise<void> {
    return this.#calls.createFolder(this.#descriptor, name, mode);
  }

  async createFile(name: Buffer, mode: number, how: 'empty' | 'new'): Promise<WritableFile> {
    // O_NONBLOCK: a FIFO in the file's place fails instead of waiting for a reader.
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NONBLOCK;
    const special = how === 'empty' ? constants.O_TRUNC : constants.O_EXCL;
    const descriptor = await this.#calls.open(this.#descriptor, name, flags | special, mode);
    return new WritableDescriptor(this.#paths, descriptor, this.#pathOf(name));
  }

  async readFile(name: Buffer, maxBytes: number): Promise<Buffer> {
    const descriptor = await this.#calls.open(this.#descriptor, name, readWithoutWaiting);
    return readDescriptor(this.#paths, descriptor, this.#pathOf(name), maxBytes);
  }

  rename(name: Buffer, toName: Buffer): Promise<void> {
    return this.#calls.rename(this.#descriptor, name, this.#descriptor, toName);
  }

  async removeFile(name: Buffer): Promise<void> {
    try {
      await this.#calls.removeFile(this.#descriptor, name);
    } catch (error) {
      if ((error as SystemCallError).code !== 'ENOENT') {
        throw error;
      }
    }
  }

  removeFolder(name: Buffer): Promise<void> {
    return this.#calls.removeFolder(this.#descriptor, name);
  }

  async isSameAs(other: PosixFolderHandle): Promise<boolean> {
    const [ours, theirs] = await Promise.all([this.#descriptor, other.#descriptor].map((each) => fstat(each)));
    return ours?.dev === theirs?.dev && ours?.ino === theirs?.ino;
  }

  removeTree(name: Buffer): Promise<void> {
    return removeTree(this.#calls, this.#paths, this.#descriptor, name, this.#pathOf(name));
  }

  async close(): Promise<void> {
    if (!this.#open) {
      return;
    }
    this.#open = false;
    await close(this.#descriptor);
  }

  #pathOf(name: Buffer): string {
    return `${this.#path === '/' ? '' : this.#path}/${name.toString()}`;
  }
}
