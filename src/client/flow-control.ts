/** When the connection is read and when not: a consumer that does not read makes the daemon pace its program (spec client.md §2). */

/** Output that waits for its consumer before the connection is read no more. */
const softBytes = 2 * 1024 * 1024;
/** The same while a reply is waited for, which comes behind that output. */
const hardBytes = 16 * 1024 * 1024;

export class FlowControl {
  readonly #hold: (held: boolean) => void;
  readonly #awaited: () => number;
  #waiting = 0;
  #held = false;

  /** @param awaited how many replies are waited for */
  constructor(hold: (held: boolean) => void, awaited: () => number) {
    this.#hold = hold;
    this.#awaited = awaited;
  }

  /** Bytes have come (positive) or have gone to their consumer (negative). */
  add(bytes: number): void {
    this.#waiting += bytes;
    this.update();
  }

  /** To be called when a reply begins or ends to be waited for. */
  update(): void {
    const most = this.#awaited() > 0 ? hardBytes : softBytes;
    // Half of it must be gone before reading goes on, so that reading does not start and stop with each chunk.
    const held = this.#waiting > (this.#held ? most / 2 : most);
    if (held !== this.#held) {
      this.#held = held;
      this.#hold(held);
    }
  }
}
