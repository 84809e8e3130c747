/**
 * The one end of this process. Anybody may ask for it at any time; it begins once, and only when the start is complete,
 * so that whatever was begun can be undone.
 */
export class EndRequest {
  #isAsked = false;
  #begin = (): void => {};

  /** @param announce says who asks; called for the first request alone, which is the one that counts */
  ask(announce?: () => void): void {
    if (this.#isAsked) {
      return;
    }
    this.#isAsked = true;
    announce?.();
    this.#begin();
  }

  /** The start is complete: runs `end` at the first request, at once if there was one. @returns what `end` returns */
  whenAsked(end: () => Promise<void>): Promise<void> {
    const over = Promise.withResolvers<void>();
    this.#begin = () => over.resolve(end());
    if (this.#isAsked) {
      this.#begin();
    }
    return over.promise;
  }
}
