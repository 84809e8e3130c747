/** When the connection is read and when not: a consumer that does not read makes the daemon pace its program (spec client.md §2). */
import type { ReadingMode } from './link.ts';

const mebibyte = 1024 * 1024;
/** Output that waits for its consumer before the connection is read no more. */
const softBytes = 2 * mebibyte;
/** The same while a reply is waited for, which comes behind that output. */
const hardBytes = 16 * mebibyte;
/**
 * With so much waiting nothing is taken at all. The daemon then holds the program back no longer, and a gap is possible: by
 * a socket after days, by a relay such as ssh, of which only large pieces can be taken, after some twenty minutes.
 */
const mostBytes = 20 * mebibyte;

export class FlowControl {
  readonly #read: (how: ReadingMode) => void;
  readonly #awaited: () => number;
  #waiting = 0;
  #reading: ReadingMode = 'flow';

  /** @param awaited how many replies are waited for */
  constructor(read: (how: ReadingMode) => void, awaited: () => number) {
    this.#read = read;
    this.#awaited = awaited;
  }

  /** Bytes have come (positive) or have gone to their consumer (negative). */
  add(bytes: number): void {
    this.#waiting += bytes;
    this.update();
  }

  /** To be called when a reply begins or ends to be waited for. */
  update(): void {
    // Half of it must be gone before reading goes on, so that reading does not start and stop with each chunk.
    const soft = this.#reading === 'flow' ? softBytes : softBytes / 2;
    const flows = this.#waiting <= (this.#awaited() > 0 ? hardBytes : soft);
    const how = flows ? 'flow' : this.#waiting > mostBytes ? 'stop' : 'sip';
    if (how !== this.#reading) {
      this.#reading = how;
      this.#read(how);
    }
  }
}
