/** Files of ours that are not finished yet. They have random names that no other process uses, and mode 0600. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paths } from '../../platform/paths.ts';
import type { FileIdentity } from './file-identity.ts';
import { systemCall } from './system-call.ts';

export class TemporaryFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #paths: Paths;
  #length = 0;
  #isClosed = false;

  private constructor(path: string, handle: FileHandle, paths: Paths) {
    this.path = path;
    this.#handle = handle;
    this.#paths = paths;
  }

  /** @param prefix of the name; the rest is random. @throws SystemCallError `open <path>: ...` */
  static async create(folder: string, prefix: string, paths: Paths): Promise<TemporaryFile> {
    const path = join(folder, `${prefix}${randomBytes(8).toString('hex')}`);
    return new TemporaryFile(path, await systemCall(paths, 'open', path, () => open(path, 'wx+', 0o600)), paths);
  }

  /** @throws SystemCallError `write <path>: ...` */
  async append(bytes: Buffer): Promise<void> {
    for (let rest = bytes; rest.length > 0; ) {
      const { bytesWritten } = await systemCall(this.#paths, 'write', this.path, () =>
        this.#handle.write(rest, 0, rest.length, this.#length),
      );
      this.#length += bytesWritten;
      rest = rest.subarray(bytesWritten);
    }
  }

  get length(): number {
    return this.#length;
  }

  /** For reading what was written. */
  get handle(): FileHandle {
    return this.#handle;
  }

  /** @throws SystemCallError `chmod <path>: ...` */
  async setMode(mode: number): Promise<void> {
    await systemCall(this.#paths, 'chmod', this.path, () => this.#handle.chmod(mode));
  }

  /** Waits until the bytes are on the disk, not only in memory. @throws SystemCallError `sync <path>: ...` */
  async sync(): Promise<void> {
    await systemCall(this.#paths, 'sync', this.path, () => this.#handle.sync());
  }

  async identity(): Promise<FileIdentity> {
    const { dev, ino } = await systemCall(this.#paths, 'stat', this.path, () => this.#handle.stat({ bigint: true }));
    return { dev, ino };
  }

  /** A second call does nothing. @throws SystemCallError `close <path>: ...` */
  async close(): Promise<void> {
    if (this.#isClosed) {
      return;
    }
    this.#isClosed = true;
    await systemCall(this.#paths, 'close', this.path, () => this.#handle.close());
  }

  /** Closes and removes it, as far as that can be done. */
  async discard(): Promise<void> {
    await this.close().catch(() => {});
    await unlink(this.path).catch(() => {});
  }
}
