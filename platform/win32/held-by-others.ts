/**
 * Virus scanners and search indexers open a fresh file for a moment, without sharing the right to replace or delete it.
 * Steps that replace or remove files try again for a bounded time.
 */
import { setTimeout as delay } from 'node:timers/promises';

const retryMs = 10;
/** What one request may wait in all, however many files are held. */
const patienceMs = 1_000;

export class Patience {
  #leftMs = patienceMs;

  /** Runs `work`, again while another program holds what it needs and there is time. @throws its last failure */
  async with<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        // Node's word for a sharing violation.
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || !(await this.pause())) {
          throw error;
        }
      }
    }
  }

  /** @returns `false` at once when there is no time left */
  async pause(): Promise<boolean> {
    if (this.#leftMs <= 0) {
      return false;
    }
    this.#leftMs -= retryMs;
    await delay(retryMs);
    return true;
  }
}
