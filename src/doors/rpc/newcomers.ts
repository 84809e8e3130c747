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
