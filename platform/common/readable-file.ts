/** A file that is open for reading, as Node reads it on every system (platform/files.ts says what is promised). */
import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { FileStatus, ReadableFile } from '../files.ts';
import type { Paths } from '../paths.ts';
import { as } from './file-error.ts';

export class NodeReadableFile implements ReadableFile {
  readonly #paths: Paths;
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #toStatus: (found: Stats) => FileStatus | Promise<FileStatus>;

  /** @param toStatus what this system says of a file that was found */
  constructor(
    paths: Paths,
    handle: FileHandle,
    path: string,
    toStatus: (found: Stats) => FileStatus | Promise<FileStatus>,
  ) {
    this.#paths = paths;
    this.#handle = handle;
    this.#path = path;
    this.#toStatus = toStatus;
  }

  async status(): Promise<FileStatus> {
    return this.#toStatus(await as(this.#paths, 'stat', this.#path, () => this.#handle.stat()));
  }

  async read(buffer: Buffer): Promise<number> {
    const { bytesRead } = await as(this.#paths, 'read', this.#path, () =>
      this.#handle.read(buffer, 0, buffer.length, null),
    );
    return bytesRead;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
