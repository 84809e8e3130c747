/** The page of metrics, made once for all who ask within a moment. */
export class KeptPage {
  readonly #make: () => Promise<string>;
  readonly #keepMs: number;
  #page: Promise<string> | undefined;
  #madeAt = 0;

  /** @param keepMs how long a page is shown after it was begun; whoever asks while one is made waits for that one */
  constructor(make: () => Promise<string>, keepMs: number) {
    this.#make = make;
    this.#keepMs = keepMs;
  }

  /** Rejects as making it does; a page that could not be made is not kept. */
  get(): Promise<string> {
    const now = performance.now();
    if (this.#page !== undefined && now - this.#madeAt < this.#keepMs) {
      return this.#page;
    }
    const page = this.#make();
    this.#page = page;
    this.#madeAt = now;
    page.catch(() => {
      if (this.#page === page) {
        this.#page = undefined;
      }
    });
    return page;
  }
}
