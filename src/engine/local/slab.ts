/** A piece of memory that holds whole frames one after the other, and views of it that are handed to sockets. */
import type { Frames } from '../session-engine.ts';

export class Slab {
  readonly bytes: Buffer;
  firstSeq: number;
  next: Slab | undefined;
  /** How many views and replays still need these bytes; only a slab that nobody needs may be used again. */
  pins = 0;
  /** End offset of each frame. */
  readonly #ends: number[] = [];

  constructor(bytes: Buffer, firstSeq: number) {
    this.bytes = bytes;
    this.firstSeq = firstSeq;
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

  holds(seq: number): boolean {
    return seq >= this.firstSeq && seq < this.firstSeq + this.#ends.length;
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

  /** Bytes of the frames `first … last`. */
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
    this.pins++;
    return {
      kind: 'frames',
      bytes: this.bytes.subarray(start, this.end(to)),
      firstSeq: first,
      lastSeq: to,
      release: () => {
        this.pins--;
      },
    };
  }
}
