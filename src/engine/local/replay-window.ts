/**
 * The replay window: the last 16 MiB of a process's frames, byte for byte as they were first sent (spec process.md §9).
 *
 * Frames lie next to each other in slabs, so that many of them leave in one write of one view. The bytes of a slab are never
 * rewritten while somebody may still send them: a view pins its slab, and only a slab without pins is used again.
 */
import { Cursor } from './cursor.ts';
import { Slab } from './slab.ts';

/** Serialized frames kept per process (spec process.md §9). */
export const windowBytes = 16_777_216;

/**
 * Largest slab: four of the largest frames (32 KiB of output each), what one turn of the loop brings, with some room for long
 * process ids. Up to two of them are held beyond the window. A session that prints little gets by with small ones.
 */
const maxSlabBytes = 172 * 1024;
const minSlabBytes = 1024;

export interface WindowEvents {
  /** The frame with this seq is about to go. */
  onEvict(seq: number): void;
}

export class ReplayWindow {
  readonly #maxBytes: number;
  readonly #events: WindowEvents;
  #head: Slab | undefined;
  #tail: Slab | undefined;
  #spare: Slab | undefined;
  #bytes = 0;
  #bytesEver = 0;
  #firstSeq = 0;
  #lastSeq = 0;

  /** @param maxBytes serialized frames with their newlines; the newest frame is kept even alone above it */
  constructor(maxBytes: number, events: WindowEvents) {
    this.#maxBytes = maxBytes;
    this.#events = events;
  }

  /** Oldest frame still here; 0 before the first. */
  get firstSeq(): number {
    return this.#firstSeq;
  }

  /** Newest frame; 0 before the first. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of all frames there have ever been, those that went included. */
  get bytesEver(): number {
    return this.#bytesEver;
  }

  /** Appends frame number `lastSeq + 1` of `size` bytes, which `write` puts down at the given offset. */
  append(size: number, write: (target: Buffer, offset: number, seq: number) => void): void {
    const seq = this.#lastSeq + 1;
    this.#makeRoom(size);
    const slab = this.#slabFor(size, seq);
    write(slab.bytes, slab.used, seq);
    slab.add(size);
    this.#bytes += size;
    this.#bytesEver += size;
    this.#lastSeq = seq;
    if (this.#firstSeq === 0) {
      this.#firstSeq = seq;
    }
  }

  /** A reader's place behind the newest frame. */
  cursor(): Cursor {
    return new Cursor(this);
  }

  /** The slab that holds frame `seq`; `undefined` when the frame is not here (yet). */
  slabOf(seq: number): Slab | undefined {
    if (seq < this.#firstSeq || seq > this.#lastSeq) {
      return undefined;
    }
    if (this.#tail !== undefined && seq >= this.#tail.firstSeq) {
      return this.#tail;
    }
    let slab = this.#head;
    while (slab?.next !== undefined && seq >= slab.next.firstSeq) {
      slab = slab.next;
    }
    return slab;
  }

  /** Evicts from the front until `size` more bytes fit. */
  #makeRoom(size: number): void {
    while (this.#head !== undefined && this.#bytes > 0 && this.#bytes + size > this.#maxBytes) {
      const slab = this.#head;
      const seq = this.#firstSeq;
      this.#events.onEvict(seq);
      this.#bytes -= slab.size(seq, seq);
      this.#firstSeq++;
      if (seq === slab.lastSeq) {
        this.#dropHead(slab);
      }
    }
  }

  #dropHead(slab: Slab): void {
    this.#head = slab.next;
    if (this.#head === undefined) {
      this.#tail = undefined;
    }
    // Without this link a replay that still holds an old slab would hold everything written since.
    slab.next = undefined;
    if (slab.pins === 0 && slab.bytes.length === maxSlabBytes) {
      this.#spare = slab;
    }
  }

  #slabFor(size: number, seq: number): Slab {
    const tail = this.#tail;
    if (tail !== undefined && tail.used + size <= tail.bytes.length) {
      return tail;
    }
    const slab = this.#freshSlab(size, seq, tail);
    if (tail === undefined) {
      this.#head = slab;
    } else {
      tail.next = slab;
    }
    this.#tail = slab;
    return slab;
  }

  #freshSlab(size: number, seq: number, previous: Slab | undefined): Slab {
    const wanted = Math.max(size, Math.min(maxSlabBytes, (previous?.bytes.length ?? 0) * 2), minSlabBytes);
    const spare = this.#spare;
    if (spare !== undefined && wanted <= spare.bytes.length && spare.pins === 0) {
      this.#spare = undefined;
      spare.reuse(seq);
      return spare;
    }
    return new Slab(Buffer.allocUnsafeSlow(wanted), seq);
  }
}
