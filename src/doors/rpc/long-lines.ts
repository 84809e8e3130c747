/** Long lines of all connections: they are read one after the other, each in turns of the event loop. */
import { inTurns, Turns } from '../../base/take-turns.ts';
import type { Steps } from '../../wire/steps.ts';

/** No line up to this takes long, whatever is in it; the longest takes a tenth of a second. */
export const shortLineBytes = 32_768;

/**
 * One at a time, because what is made of a line while it is read may be fifteen times as long as the line, and because the turns
 * of many would come together to one long one.
 */
export class LongLines {
  #last: Promise<void> | undefined;
  #turns = new Turns();

  /**
   * Begins at once if none is being read.
   * @param isGone asked when a line that had to wait is about to be read: its connection is closed
   */
  read(steps: Steps<void>, isGone: () => boolean): Promise<void> {
    const before = this.#last;
    const own = before === undefined ? this.#readNow(steps) : this.#readAfter(before, steps, isGone);
    this.#last = own;
    return own.finally(() => {
      if (this.#last === own) {
        this.#last = undefined;
      }
    });
  }

  #readNow(steps: Steps<void>): Promise<void> {
    this.#turns = new Turns();
    return inTurns(steps, this.#turns);
  }

  async #readAfter(before: Promise<void>, steps: Steps<void>, isGone: () => boolean): Promise<void> {
    await before;
    if (!isGone()) {
      await inTurns(steps, this.#turns);
    }
  }
}
