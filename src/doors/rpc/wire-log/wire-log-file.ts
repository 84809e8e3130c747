/** The file of the wire log: appended to, owner-only, and within a limit (spec modes.md §15). */
import { closeSync, constants, fchmodSync, fstatSync, lstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { HostError } from '../../../../platform/errors.ts';
import type { Paths } from '../../../../platform/paths.ts';

const ownerOnly = 0o600;

export class WireLogFile {
  readonly path: string;
  readonly #maxBytes: number;
  readonly #paths: Paths;
  #fd: number;
  #bytes: number;

  /**
   * @param maxBytes at this size the file becomes `<path>.old`, in place of an older one; 0: no limit
   * @throws HostError whose message is the reason line of the start
   */
  constructor(path: string, maxBytes: number, paths: Paths) {
    this.path = path;
    this.#maxBytes = maxBytes;
    this.#paths = paths;
    const { fd, bytes } = this.#open();
    this.#fd = fd;
    this.#bytes = bytes;
  }

  /** Writes all of it. @throws Node's error; a part may have been written */
  write(bytes: Buffer): void {
    if (this.#maxBytes > 0 && this.#bytes > 0 && this.#bytes + bytes.length > this.#maxBytes) {
      this.#startOver();
    }
    for (let at = 0; at < bytes.length; ) {
      const written = writeSync(this.#fd, bytes, at);
      this.#bytes += written;
      at += written;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Somebody else may have moved the file away already. Where a new one cannot be made, the old one is gone on with. */
  #startOver(): void {
    const own = fstatSync(this.#fd, { bigint: true });
    const named = lstatSync(this.path, { bigint: true, throwIfNoEntry: false });
    if (named?.dev === own.dev && named.ino === own.ino) {
      renameSync(this.path, `${this.path}.old`);
    }
    const { fd, bytes } = this.#open();
    const full = this.#fd;
    this.#fd = fd;
    this.#bytes = bytes;
    closeSync(full);
  }

  #open(): { readonly fd: number; readonly bytes: number } {
    const { O_WRONLY, O_APPEND, O_CREAT } = constants;
    let fd: number | undefined;
    try {
      // Not through a link and not into a pipe or device: the mode of whatever is opened is changed. Windows has neither flag.
      const careful = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
      fd = openSync(this.path, O_WRONLY | O_APPEND | O_CREAT | careful, ownerOnly);
      const found = fstatSync(fd);
      if (!found.isFile()) {
        throw new Error('it is not a regular file');
      }
      fchmodSync(fd, ownerOnly);
      return { fd, bytes: found.size };
    } catch (error) {
      if (fd !== undefined) {
        closeSync(fd);
      }
      throw new HostError(`wire log: open ${this.path}: ${this.#paths.reason(error)}`, '', { cause: error });
    }
  }
}
