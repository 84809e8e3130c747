/** "Still the very same file": what must hold before anything is removed (design decision 8). */
import { constants, existsSync, fstatSync, lstatSync, openSync, type Stats, unlinkSync } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import { closeQuietly } from './descriptors.ts';

const canPin = existsSync('/proc/self/fd');

/**
 * Inode numbers are reused at once, so on Linux a descriptor (O_PATH: works for sockets too) holds the inode while we
 * care about it. macOS has no such descriptor; there the birth time tells two files of one inode number apart.
 */
export class FileIdentity {
  readonly #found: Stats;
  #pin: number | undefined;

  /** @throws Node's error when there is nothing at `path`; a link is not followed */
  constructor(path: string) {
    if (canPin) {
      this.#pin = openSync(path, libc.O_PATH | constants.O_NOFOLLOW);
      this.#found = fstatSync(this.#pin);
    } else {
      this.#found = lstatSync(path);
    }
  }

  /** Whether `found` is the same file. */
  is(found: Stats): boolean {
    if (found.dev !== this.#found.dev || found.ino !== this.#found.ino) {
      return false;
    }
    return this.#pin !== undefined || found.birthtimeMs === this.#found.birthtimeMs;
  }

  /** Removes `path` only while it is still this file, then lets go of it. */
  removeAt(path: string): void {
    try {
      if (this.is(lstatSync(path))) {
        unlinkSync(path);
      }
    } catch {
      // Gone already, or the folder is: nothing of ours is left.
    }
    this.release();
  }

  release(): void {
    if (this.#pin === undefined) {
      return;
    }
    closeQuietly(this.#pin);
    this.#pin = undefined;
  }
}
