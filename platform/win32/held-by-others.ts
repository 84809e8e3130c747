/**
 * Virus scanners and search indexers open a fresh file for a moment, without sharing the right to replace or delete it.
 * Steps that replace or remove files try again for a bounded time.
 */
import { setTimeout as delay } from 'node:timers/promises';

const retryMs = 10;
/** What one request may wait in all, however many files are held. */
const patienceMs = 1_000;

/** Node's words for a sharing violation: of an entry that is removed, and of one that is replaced. */
const removing: readonly string[] = ['EBUSY'];
export const replacing: readonly string[] = ['EBUSY', 'EPERM', 'EACCES'];

export class Patience {
  readonly #passing: readonly string[];
  #leftMs = patienceMs;

  /** @param passing codes of failures that pass by themselves */
  constructor(passing: readonly string[] = removing) {
    this.#passing = passing;
  }

  /** Runs `work`, again while another program holds what it needs and there is time. @throws its last failure */
  async with<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!this.#passing.includes((error as NodeJS.ErrnoException).code ?? '') || !(await this.pause())) {
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
