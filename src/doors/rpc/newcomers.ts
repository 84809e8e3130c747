/**
 * Bytes that are held for connections which have not shown the token yet. Such a connection may send a whole line, which is
 * up to a megabyte; but many of them together must not fill the memory for somebody who never shows one.
 */

/** What each of them may hold, whatever the others do. */
export const freeNewcomerBytes = 65_536;
/** With more than that in all, none of them may hold more than {@link freeNewcomerBytes}. */
export const maxNewcomersBytes = 16 * 1024 * 1024;

/** All such connections of a daemon. */
export class Newcomers {
  #heldBytes = 0;

  /** @param bytes negative: so many are held no more */
  take(bytes: number): void {
    this.#heldBytes += bytes;
  }

  /** Whether a connection that holds so many bytes, which were counted already, must go. */
  refuses(heldBytes: number): boolean {
    return heldBytes > freeNewcomerBytes && this.#heldBytes >= maxNewcomersBytes;
  }
}

/** What one of them holds, until it has shown the token. */
export class Newcomer {
  readonly #all: Newcomers;
  #heldBytes = 0;
  #isProven = false;

  constructor(all: Newcomers) {
    this.#all = all;
  }

  /** The client has shown the token. */
  get isProven(): boolean {
    return this.#isProven;
  }

  showedToken(): void {
    if (!this.#isProven) {
      this.#isProven = true;
      this.#count(0);
    }
  }

  /** @param heldBytes all it holds now @returns whether it must go */
  mustGo(heldBytes: number): boolean {
    this.#count(heldBytes);
    return this.#all.refuses(heldBytes);
  }

  /** It holds nothing any more. */
  leave(): void {
    this.#count(0);
  }

  #count(heldBytes: number): void {
    this.#all.take(heldBytes - this.#heldBytes);
    this.#heldBytes = heldBytes;
  }
}
