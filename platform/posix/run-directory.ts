/** One run directory, held open: its files, its lock, and whose turn it is in it (spec modes.md §5 to 7). */

import { closeSync, constants, openSync, readdirSync, renameSync, watch } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import * as libc from '../../native-bindings/libc.ts';
import { readFirst } from '../common/read-first.ts';
import type { LockAttempt } from '../lock.ts';
import type { OwnedFile, RunDirectory } from '../run-directories.ts';
import { closeQuietly } from './descriptors.ts';
import type { DirectoryHandle } from './directory-handle.ts';
import { FileIdentity } from './file-identity.ts';
import { isHeldElsewhere, tryLock } from './lock.ts';
import { errnoName } from './paths.ts';
import { openPlainFile, unlinkQuietly, writeNew } from './plain-file.ts';
import { randomHex } from './random.ts';

/** Longest wait for another daemon's start or end in the same folder; then we go on, as the contract's daemon would. */
const exclusiveWaitMs = 5_000;
const exclusivePollMs = 10;

export class PosixRunDirectory implements RunDirectory {
  readonly path: string;
  readonly #handle: DirectoryHandle;

  constructor(handle: DirectoryHandle) {
    this.path = handle.path;
    this.#handle = handle;
  }

  publish(name: string, content: Buffer): OwnedFile {
    this.#removeTemporaries(name);
    const temporary = this.#handle.at(`${name}-${randomHex(6)}`);
    writeNew(temporary, content);
    let identity: FileIdentity | undefined;
    try {
      identity = new FileIdentity(temporary);
      renameSync(temporary, this.#handle.at(name));
    } catch (error) {
      identity?.release();
      unlinkQuietly(temporary);
      throw error;
    }
    const published = identity;
    return {
      path: `${this.path}/${name}`,
      remove: () => published.removeAt(this.#handle.at(name)),
    };
  }

  /** A daemon that was killed while it published has left its file, with a token in it. */
  #removeTemporaries(name: string): void {
    for (const other of readdirSync(this.#handle.at('.'))) {
      if (other.startsWith(`${name}-`) && /^[0-9a-f]{12}$/.test(other.slice(name.length + 1))) {
        unlinkQuietly(this.#handle.at(other));
      }
    }
  }

  removeLeftover(name: string): void {
    unlinkQuietly(this.#handle.at(name));
  }

  readText(name: string, maxBytes: number): string | undefined {
    try {
      const fd = openPlainFile(this.#handle.at(name), constants.O_RDONLY);
      try {
        return readFirst(fd, maxBytes).toString('utf8');
      } finally {
        closeSync(fd);
      }
    } catch {
      return undefined;
    }
  }

  /**
   * flock(2) on the folder itself: needs no file, and the kernel drops it with the process. Where it is not to be had (no
   * descriptor free, no such locks on this file system) the work is done without, as the contract's daemon would.
   */
  async exclusively<T>(work: () => Promise<T> | T): Promise<T> {
    const fd = this.#openForLock();
    try {
      for (const giveUpAt = performance.now() + exclusiveWaitMs; fd !== undefined && performance.now() < giveUpAt; ) {
        if (libc.flock(fd, libc.LOCK_EX | libc.LOCK_NB) === 0 || !isHeldElsewhere(errnoName(libc.errno()))) {
          break;
        }
        await delay(exclusivePollMs);
      }
      return await work();
    } finally {
      if (fd !== undefined) {
        closeQuietly(fd);
      }
    }
  }

  /** An open folder of its own: `flock` belongs to it, and ends with it. */
  #openForLock(): number | undefined {
    try {
      return openSync(this.#handle.at('.'), constants.O_RDONLY | constants.O_DIRECTORY);
    } catch {
      return undefined;
    }
  }

  tryLock(name: string, options: { readonly create: boolean }): LockAttempt {
    return tryLock(this.#handle.at(name), `${this.path}/${name}`, options);
  }

  watch(onChange: () => void): () => void {
    const watcher = watch(this.#handle.at('.'), { persistent: false }, onChange);
    // A folder that went away ends its watch; the caller's slower checks go on.
    watcher.on('error', () => watcher.close());
    return () => watcher.close();
  }

  close(): void {
    this.#handle.close();
  }
}
