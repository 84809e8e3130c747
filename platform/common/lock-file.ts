/** The lock of a run directory while it is held through an open file: the OS drops it with the descriptor. */
import { closeSync, ftruncateSync, writeSync } from 'node:fs';
import type { LockRecord, RunDirectoryLock } from '../lock.ts';

export class LockFile implements RunDirectoryLock {
  readonly #fd: number;
  #held = true;

  /** @param fd the lock file, already locked; owned from here on */
  constructor(fd: number) {
    this.#fd = fd;
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
    try {
      closeSync(this.#fd);
    } catch {
      // The system lets go of the descriptor, and of the lock with it, even where it reports a failure.
    }
  }
}
