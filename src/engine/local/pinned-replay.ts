/** Frames `first … last` of a window as they are now, kept until they are taken however fast the window moves on. */
import type { Frames } from '../session-engine.ts';
import type { ReplayWindow } from './replay-window.ts';
import type { Slab } from './slab.ts';

export class PinnedReplay {
  #slabs: Slab[] = [];
  #next: number;
  readonly #last: number;
  #bytesLeft = 0;

  /** @param first frames before it, and frames that the window has no more, are left out */
  constructor(window: ReplayWindow, first: number, last: number) {
    this.#next = Math.max(first, window.firstSeq);
    this.#last = last;
    if (this.#next > last) {
      return;
    }
    for (let slab = window.slabOf(this.#next); slab !== undefined && slab.firstSeq <= last; slab = slab.next) {
      slab.pin();
      this.#slabs.push(slab);
      this.#bytesLeft += slab.size(Math.max(this.#next, slab.firstSeq), Math.min(last, slab.lastSeq));
    }
  }

  get bytesLeft(): number {
    return this.#bytesLeft;
  }

  /** Whole frames from here on; `undefined` when all were taken. */
  take(maxBytes: number): Frames | undefined {
    const [slab] = this.#slabs;
    if (slab === undefined) {
      return undefined;
    }
    const end = Math.min(this.#last, slab.lastSeq);
    const view = slab.view(this.#next, end, maxBytes);
    this.#next = view.lastSeq + 1;
    this.#bytesLeft -= view.bytes.length;
    if (view.lastSeq === end) {
      this.#slabs.shift();
      slab.unpin();
    }
    return view;
  }

  /** Lets go of what was not taken. */
  drop(): void {
    for (const slab of this.#slabs) {
      slab.unpin();
    }
    this.#slabs = [];
    this.#bytesLeft = 0;
  }
}
