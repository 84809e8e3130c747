/** The lock of a run directory while it is held through an open file: the OS drops it with the descriptor. */
import { closeSync, ftruncateSync, writeSync } from 'node:fs';
import type { LockRecord, RunDirectoryLock } from '../lock.ts';

export class LockFile implements RunDirectoryLock {
  readonly #fd: number;
  readonly #unlock: () => void;
  #held = true;

  /**
   * @param fd the lock file, already locked; owned from here on
   * @param unlock gives the lock back before the descriptor is closed, where the system does that later than the close
   */
  constructor(fd: number, unlock: () => void = () => {}) {
    this.#fd = fd;
    this.#unlock = unlock;
  }

  write(record: LockRecord): void {
    const text = Buffer.from(JSON.stringify(record));
    ftruncateSync(this.#fd, 0);
    writeSync(this.#fd, text, 0, text.length, 0);
  }

  clearAndRelease(): void {
    if (!this.#held) {
      return;
    }
    try {
      ftruncateSync(this.#fd, 0);
    } finally {
      this.releaseUnchanged();
    }
  }

  releaseUnchanged(): void {
    if (!this.#held) {
      return;
    }
    this.#held = false;
    this.#unlock();
    try {
      closeSync(this.#fd);
    } catch {
      // The system lets go of the descriptor, and of the lock with it, even where it reports a failure.
    }
  }
}
