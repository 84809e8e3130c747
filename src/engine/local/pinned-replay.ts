/** Frames `first ... last` of a window as they are now, kept until they are taken however fast the window moves on. */
import type { Frames } from '../session-engine.ts';
import { type KeptFrames, SpoolReadError } from './kept-frames.ts';
import type { ReplayWindow } from './replay-window.ts';

export class PinnedReplay {
  #kept: KeptFrames[] = [];
  #next: number;
  readonly #last: number;
  #bytesLeft = 0;

  /** @param first frames before it, and frames that the window has no more, are left out */
  constructor(window: ReplayWindow, first: number, last: number) {
    this.#next = Math.max(first, window.firstSeq);
    this.#last = last;
    try {
      this.#pinAll(window);
    } catch (error) {
      if (!(error instanceof SpoolReadError)) {
        throw error;
      }
      // What cannot be read is not there, and neither is anything before it.
      this.drop();
      window.spoolFailed(error);
      this.#next = Math.max(first, window.firstSeq);
      this.#pinAll(window);
    }
  }

  #pinAll(window: ReplayWindow): void {
    let kept: KeptFrames | undefined;
    for (let next = this.#next; next <= this.#last; ) {
      kept = kept?.next?.holds(next) === true ? kept.next : window.keptWith(next);
      if (kept === undefined) {
        break;
      }
      const to = Math.min(this.#last, kept.lastSeq);
      this.#bytesLeft += kept.size(next, to);
      kept.pin();
      this.#kept.push(kept);
      next = to + 1;
    }
  }

  get bytesLeft(): number {
    return this.#bytesLeft;
  }

  /** Whole frames from here on; `undefined` when all were taken. @throws SpoolReadError */
  take(maxBytes: number): Frames | undefined {
    const [kept] = this.#kept;
    if (kept === undefined) {
      return undefined;
    }
    const end = Math.min(this.#last, kept.lastSeq);
    const view = kept.view(this.#next, end, maxBytes);
    this.#next = view.lastSeq + 1;
    this.#bytesLeft -= view.bytes.length;
    if (view.lastSeq === end) {
      this.#kept.shift();
      kept.unpin();
    }
    return view;
  }

  /** Lets go of what was not taken. */
  drop(): void {
    for (const kept of this.#kept) {
      kept.unpin();
    }
    this.#kept = [];
    this.#bytesLeft = 0;
  }
}
