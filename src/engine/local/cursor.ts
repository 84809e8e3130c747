/** A reader's place in the live frames of a replay window. It moves view by view and holds nothing. */
import type { Frames } from '../session-engine.ts';
import type { KeptFrames } from './kept-frames.ts';
import type { ReplayWindow } from './replay-window.ts';

export class Cursor {
  readonly #window: ReplayWindow;
  #slab: KeptFrames | undefined;
  #next: number;
  /** Bytes of all frames before `#next`, those that went included. */
  #position: number;

  /** Starts behind the newest frame. */
  constructor(window: ReplayWindow) {
    this.#window = window;
    this.#next = window.lastSeq + 1;
    this.#position = window.bytesEver;
  }

  /** seq of the next frame to take. */
  get next(): number {
    return this.#next;
  }

  /** Bytes of the frames that were written and not taken, those that went included. */
  get bytesLeft(): number {
    return this.#window.bytesEver - this.#position;
  }

  /**
   * Whole frames from here on, about `maxBytes` of them and at least one; `undefined` when there are none (yet).
   * @throws SpoolReadError
   * @param lastSeq no frame beyond this one is taken
   */
  take(maxBytes: number, lastSeq = Number.POSITIVE_INFINITY): Frames | undefined {
    const last = Math.min(lastSeq, this.#window.lastSeq);
    if (this.#next > last) {
      return undefined;
    }
    const slab = this.#slabOfNext();
    if (slab === undefined) {
      return undefined;
    }
    const view = slab.view(this.#next, Math.min(last, slab.lastSeq), maxBytes);
    this.#next = view.lastSeq + 1;
    this.#position += view.bytes.length;
    return view;
  }

  /** The remembered slab may have been left behind, or be in use again for later frames. */
  #slabOfNext(): KeptFrames | undefined {
    let slab = this.#slab;
    if (slab?.holds(this.#next) !== true) {
      slab = slab?.next;
    }
    if (slab?.holds(this.#next) !== true) {
      slab = this.#window.keptWith(this.#next);
    }
    this.#slab = slab;
    return slab;
  }

  /** Goes on behind the newest frame. */
  moveToEnd(): void {
    this.#next = this.#window.lastSeq + 1;
    this.#position = this.#window.bytesEver;
  }

  /** Goes on at the oldest frame that is kept. */
  moveToStart(): void {
    this.#next = this.#window.firstSeq;
    this.#position = this.#window.bytesGone;
  }
}
