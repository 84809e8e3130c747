/**
 * Work in the order of arrival for each key: two pieces of work of one key never run at the same time, and different keys
 * do not wait for each other. A key takes no memory while none of its work waits or runs.
 */
export class KeyedQueue {
  readonly #last = new Map<string, Promise<unknown>>();

  /** How many keys have work that waits or runs. */
  get size(): number {
    return this.#last.size;
  }

  /**
   * Runs `work` after everything that was given for the same key before, however that ended.
   * @returns what `work` returns; rejects with what it throws
   */
  async run<T>(key: string, work: () => Promise<T> | T): Promise<T> {
    const before = this.#last.get(key);
    const own = (async () => {
      // Whoever gave the earlier work learns of its failure; the next piece of work starts all the same.
      await before?.catch(() => {});
      return work();
    })();
    this.#last.set(key, own);
    try {
      return await own;
    } finally {
      if (this.#last.get(key) === own) {
        this.#last.delete(key);
      }
    }
  }
}
