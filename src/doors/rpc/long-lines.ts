/** Long lines of all connections: they are read one after the other, each in turns of the event loop. */
import { atOnce } from '../../../platform/steps.ts';
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
  readonly #turns = new Turns();

  /**
   * Begins in a turn of its own: the one that has taken the line from the socket has done its part.
   * @param isGone asked when the line is about to be read: its connection is closed, and nobody waits for an answer
   */
  read(steps: Steps<void>, isGone: () => boolean): Promise<void> {
    const own = this.#readAfter(this.#last, steps, isGone);
    this.#last = own;
    return own.finally(() => {
      if (this.#last === own) {
        this.#last = undefined;
      }
    });
  }

  async #readAfter(before: Promise<void> | undefined, steps: Steps<void>, isGone: () => boolean): Promise<void> {
    await (before ?? this.#turns.next());
    if (!isGone()) {
      await inTurns(steps, this.#turns);
    }
  }
}

export interface LineReadingOptions {
  /** The connection is closed. */
  isGone(): boolean;
  /** A long line has been read. */
  onRead(): void;
}

/** The line of one connection that is being read, in turns or when its turn comes. The next one waits for it. */
export class LineReading {
  readonly #all: LongLines;
  readonly #options: LineReadingOptions;
  #bytes = 0;

  constructor(all: LongLines, options: LineReadingOptions) {
    this.#all = all;
    this.#options = options;
  }

  /** Of the long line; 0: none is being read. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Reads a short line at once. */
  begin(line: Buffer, steps: Steps<void>): void {
    if (line.length <= shortLineBytes) {
      atOnce(steps);
      return;
    }
    this.#bytes = line.length;
    void this.#all.read(steps, this.#options.isGone).then(() => {
      this.#bytes = 0;
      this.#options.onRead();
    });
  }
}
