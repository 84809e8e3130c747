/** The compressed CLI, open for reading: a local file, or a download in a temporary file. */
import { createHash, type Hash } from 'node:crypto';
import { constants, type FileHandle, open, stat, unlink } from 'node:fs/promises';
import type { Paths } from '../../platform/paths.ts';
import { InstallFailure } from './failure.ts';
import { isSameFile } from './file-identity.ts';
import { isMissing, systemCall } from './system-call.ts';
import type { TemporaryFile } from './temporary-file.ts';

const readBytes = 1 << 20;

export class Blob {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #paths: Paths;

  private constructor(path: string, handle: FileHandle, paths: Paths) {
    this.path = path;
    this.#handle = handle;
    this.#paths = paths;
  }

  /** Opens the file of `-cli-zst`. A FIFO without a writer does not hold us up. @throws InstallFailure */
  static async open(path: string, paths: Paths): Promise<Blob> {
    try {
      const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
      return new Blob(path, await systemCall(paths, 'open', path, () => open(path, flags)), paths);
    } catch (error) {
      throw new InstallFailure(`opening input: ${(error as Error).message}`, { cause: error });
    }
  }

  static downloaded(file: TemporaryFile, paths: Paths): Blob {
    return new Blob(file.path, file.handle, paths);
  }

  /**
   * Each call reads from the first byte on.
   * @param hash is given every byte on its way
   * @throws SystemCallError `read <path>: ...`
   */
  async *read(hash?: Hash): AsyncGenerator<Buffer> {
    for (let position = 0; ; ) {
      const buffer = Buffer.allocUnsafe(readBytes);
      const { bytesRead } = await systemCall(this.#paths, 'read', this.path, () =>
        this.#handle.read(buffer, 0, buffer.length, position),
      );
      if (bytesRead === 0) {
        return;
      }
      position += bytesRead;
      hash?.update(buffer.subarray(0, bytesRead));
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** SHA-256, lower-case hex. @throws InstallFailure */
  async digest(): Promise<string> {
    const hash = createHash('sha256');
    try {
      for await (const _ of this.read(hash)) {
        // The hash has seen the bytes.
      }
    } catch (error) {
      throw new InstallFailure(`opening input: ${(error as Error).message}`, { cause: error });
    }
    return hash.digest('hex');
  }

  async close(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }

  /**
   * Closes a local blob that has served its purpose and removes it, unless the path leads to another file by now: the CLI
   * itself, where the blob lay at the CLI's path, or a newer upload.
   * @returns why it could not be removed; `undefined` when it is gone or not ours to remove
   */
  async remove(): Promise<string | undefined> {
    const [ours, now] = await Promise.all([
      this.#handle.stat({ bigint: true }),
      stat(this.path, { bigint: true }).catch(() => undefined),
    ]);
    await this.close();
    if (!isSameFile(now, ours)) {
      return undefined;
    }
    try {
      await systemCall(this.#paths, 'remove', this.path, () => unlink(this.path));
      return undefined;
    } catch (error) {
      return isMissing(error) ? undefined : (error as Error).message;
    }
  }
}

/** Texts are compared, so a checksum in upper case does not match (spec install.md §1). @throws InstallFailure */
export function verify(expected: string, actual: string): void {
  if (expected !== actual) {
    throw new InstallFailure(`checksum mismatch: expected=${expected}, actual=${actual}`);
  }
}
