/** Takes turns: at most so many pieces of work at once, and no caller is served again while another one waits. */
export class Turns {
  readonly #most: number;
  /** Those who wait, by caller; the callers in the order in which their next turn comes. */
  readonly #waiting = new Map<unknown, (() => void)[]>();
  #running = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Whether the next piece of work would have to wait. */
  get areTaken(): boolean {
    return this.#running >= this.#most;
  }

  async take<T>(caller: unknown, work: () => Promise<T>): Promise<T> {
    if (this.areTaken) {
      await new Promise<void>((resolve) => {
        const own = this.#waiting.get(caller);
        if (own === undefined) {
          this.#waiting.set(caller, [resolve]);
        } else {
          own.push(resolve);
        }
      });
    } else {
      this.#running++;
    }
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  /** Hands the turn on, to the caller who has waited longest since its last one. */
  #next(): void {
    for (const [caller, own] of this.#waiting) {
      this.#waiting.delete(caller);
      const resolve = own.shift();
      if (own.length > 0) {
        this.#waiting.set(caller, own);
      }
      resolve?.();
      return;
    }
    this.#running--;
  }
}
