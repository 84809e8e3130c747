/** A piece of memory that holds whole frames one after the other, and views of it that are handed to sockets. */
import type { ByteCount } from '../../base/memory-budget.ts';
import type { Frames } from '../session-engine.ts';
import type { KeptFrames } from './kept-frames.ts';

/** Memory for one of the largest slabs, from somebody who wants it back. */
export interface Block {
  readonly bytes: Buffer;
  /** Where it lies in memory that another process reads too. */
  readonly sharedAt: number;
  giveBack(): void;
}

/** Where the memory of the largest slabs comes from. */
export interface BlockSource {
  /** `undefined`: ordinary memory is to be used. @param bytes always the same number */
  take(bytes: number): Block | undefined;
}

export class Slab implements KeptFrames {
  readonly bytes: Buffer;
  firstSeq: number;
  next: Slab | undefined;
  /** How many views and replays still need these bytes. */
  #pins = 0;
  /** The window holds it, for its frames or for later ones. */
  #inWindow = true;
  readonly #held: ByteCount;
  readonly #block: Block | undefined;
  /** End offset of each frame. */
  readonly #ends: number[] = [];

  /**
   * @param held counts the bytes for as long as the window or anybody else needs them
   * @param block what the bytes are of; it is given back after that
   */
  constructor(bytes: Buffer, firstSeq: number, held: ByteCount, block?: Block) {
    this.bytes = bytes;
    this.firstSeq = firstSeq;
    this.#held = held;
    this.#block = block;
    held.take(bytes.length);
  }

  /** Somebody needs these bytes, until `unpin`. */
  pin(): void {
    this.#pins++;
  }

  unpin(): void {
    this.#pins--;
    this.#letGo();
  }

  /** Whether nobody needs these bytes any more; only such a slab may be used again. */
  get isFree(): boolean {
    return this.#pins === 0;
  }

  /** The window has no more use for it. */
  leaveWindow(): void {
    this.#inWindow = false;
    this.#letGo();
  }

  #letGo(): void {
    if (this.#pins === 0 && !this.#inWindow) {
      this.#held.give(this.bytes.length);
      this.#block?.giveBack();
    }
  }

  get used(): number {
    return this.#ends.at(-1) ?? 0;
  }

  /** How many frames lie here. */
  get count(): number {
    return this.#ends.length;
  }

  get lastSeq(): number {
    return this.firstSeq + this.#ends.length - 1;
  }

  /** Counts a frame of `size` bytes that was written behind the others. */
  add(size: number): void {
    this.#ends.push(this.used + size);
  }

  /** Makes it an empty slab for frames from `firstSeq` on. */
  reuse(firstSeq: number): void {
    this.firstSeq = firstSeq;
    this.next = undefined;
    this.#ends.length = 0;
  }

  /** Whether the window has frame `seq` here; what has left it is for those only who have pinned it. */
  holds(seq: number): boolean {
    return this.#inWindow && seq >= this.firstSeq && seq < this.firstSeq + this.#ends.length;
  }

  /** Offset where frame `seq` begins. */
  start(seq: number): number {
    return seq === this.firstSeq ? 0 : this.end(seq - 1);
  }

  /** Offset behind frame `seq`. */
  end(seq: number): number {
    const end = this.#ends[seq - this.firstSeq];
    if (end === undefined) {
      throw new RangeError(`frame ${seq} is not in this slab, which holds ${this.firstSeq} to ${this.lastSeq}`);
    }
    return end;
  }

  /** Bytes of the frames `first ... last`. */
  size(first: number, last: number): number {
    return this.end(last) - this.start(first);
  }

  /** Frames from `first` on, not beyond `last`: about `maxBytes` of them, and at least one. */
  view(first: number, last: number, maxBytes: number): Frames {
    const start = this.start(first);
    let to = last;
    if (this.end(to) - start > maxBytes) {
      to = first;
      while (to < last && this.end(to + 1) - start <= maxBytes) {
        to++;
      }
    }
    this.pin();
    return {
      kind: 'frames',
      bytes: this.bytes.subarray(start, this.end(to)),
      firstSeq: first,
      lastSeq: to,
      sharedAt: this.#block === undefined ? undefined : this.#block.sharedAt + start,
      release: () => this.unpin(),
    };
  }
}
