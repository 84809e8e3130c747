/**
 * The replay window: the last 16 MiB of a process's frames, byte for byte as they were first sent (spec process.md §9).
 *
 * Frames lie next to each other in slabs, so that many of them leave in one write of one view. Bytes of a slab are never
 * rewritten while somebody may still send them: a view pins its slab, and only an unpinned slab is used again.
 */

/**
 * Largest slab: four of the largest frames (32 KiB of output each), what one turn of the loop brings, with some room for long
 * process ids. Up to two of them are held beyond the window. A session that prints little gets by with small ones.
 */
const maxSlabBytes = 172 * 1024;
const minSlabBytes = 1024;

/** A stretch of whole frames. */
export class Slab {
  readonly bytes: Buffer;
  firstSeq: number;
  /** End offset of each frame. */
  readonly ends: number[] = [];
  next: Slab | undefined;
  /** Views and promises that still need these bytes. */
  pins = 0;

  constructor(bytes: Buffer, firstSeq: number) {
    this.bytes = bytes;
    this.firstSeq = firstSeq;
  }

  get used(): number {
    return this.ends.length === 0 ? 0 : this.ends[this.ends.length - 1];
  }

  /** Offset of the frame with this index. */
  start(index: number): number {
    return index === 0 ? 0 : this.ends[index - 1];
  }
}

/** Whole frames in one piece of memory. `release` must be called once they are sent. */
export interface FrameView {
  readonly bytes: Buffer;
  /** seq of the last frame in it. */
  readonly lastSeq: number;
  release(): void;
}

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

  /** Appends frame number `lastSeq + 1` of `size` bytes, which `write` puts down at the given offset. */
  append(size: number, write: (target: Buffer, offset: number, seq: number) => void): void {
    const seq = this.#lastSeq + 1;
    this.#makeRoom(size);
    const slab = this.#slabFor(size, seq);
    const offset = slab.used;
    write(slab.bytes, offset, seq);
    slab.ends.push(offset + size);
    this.#bytes += size;
    this.#lastSeq = seq;
    if (this.#firstSeq === 0) {
      this.#firstSeq = seq;
    }
  }

  /** A reader's place right before frame `seq`, which must be in `firstSeq … lastSeq + 1`. */
  cursorAt(seq: number): Cursor {
    return new Cursor(this, seq);
  }

  /** The slab that holds frame `seq`; `undefined` when it is not here (yet). */
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
      const index = this.#firstSeq - slab.firstSeq;
      this.#events.onEvict(this.#firstSeq);
      this.#bytes -= slab.ends[index] - slab.start(index);
      this.#firstSeq++;
      if (index + 1 === slab.ends.length) {
        this.#dropHead(slab);
      }
    }
  }

  #dropHead(slab: Slab): void {
    this.#head = slab.next;
    if (this.#head === undefined) {
      this.#tail = undefined;
    }
    // Without this link a promise that still holds an old slab would hold everything written since.
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
      spare.firstSeq = seq;
      spare.ends.length = 0;
      return spare;
    }
    return new Slab(Buffer.allocUnsafeSlow(wanted), seq);
  }
}

/** Moves through the live window frame by frame, or rather view by view. */
export class Cursor {
  readonly #window: ReplayWindow;
  #slab: Slab | undefined;
  #next: number;

  constructor(window: ReplayWindow, next: number) {
    this.#window = window;
    this.#next = next;
  }

  /** seq of the next frame to take. */
  get next(): number {
    return this.#next;
  }

  /** Whole frames from here on, about `maxBytes` of them and at least one; `undefined` when there are none (yet). */
  take(maxBytes: number): FrameView | undefined {
    if (this.#next > this.#window.lastSeq) {
      return undefined;
    }
    // The remembered slab may have been left behind or even be in use again for later frames.
    let slab = this.#slab;
    if (!holds(slab, this.#next)) {
      slab = this.#slab?.next;
    }
    if (!holds(slab, this.#next)) {
      slab = this.#window.slabOf(this.#next);
    }
    this.#slab = slab;
    if (slab === undefined) {
      return undefined;
    }
    const view = viewOf(slab, this.#next, slab.firstSeq + slab.ends.length - 1, maxBytes);
    this.#next = view.lastSeq + 1;
    return view;
  }

  /** Goes on at another frame, which must still be in the window or be the next one to come. */
  moveTo(seq: number): void {
    this.#next = seq;
  }
}

/** Frames `first … last` as they are now, kept until they are taken however fast the window moves on. */
export class Promised {
  #slabs: Slab[] = [];
  #next: number;
  readonly #last: number;
  #bytesLeft = 0;

  constructor(window: ReplayWindow, first: number, last: number) {
    this.#next = Math.max(first, window.firstSeq);
    this.#last = last;
    if (this.#next > last) {
      return;
    }
    for (let slab = window.slabOf(this.#next); slab !== undefined && slab.firstSeq <= last; slab = slab.next) {
      slab.pins++;
      this.#slabs.push(slab);
      const from = Math.max(this.#next, slab.firstSeq) - slab.firstSeq;
      const to = Math.min(last, slab.firstSeq + slab.ends.length - 1) - slab.firstSeq;
      this.#bytesLeft += slab.ends[to] - slab.start(from);
    }
  }

  get bytesLeft(): number {
    return this.#bytesLeft;
  }

  /** Whole frames from here on; `undefined` when all were taken. */
  take(maxBytes: number): FrameView | undefined {
    const slab = this.#slabs[0];
    if (slab === undefined) {
      return undefined;
    }
    const end = Math.min(this.#last, slab.firstSeq + slab.ends.length - 1);
    const view = viewOf(slab, this.#next, end, maxBytes);
    this.#next = view.lastSeq + 1;
    this.#bytesLeft -= view.bytes.length;
    if (view.lastSeq === end) {
      this.#slabs.shift();
      slab.pins--;
    }
    return view;
  }

  /** Lets go of what was not taken. */
  drop(): void {
    for (const slab of this.#slabs) {
      slab.pins--;
    }
    this.#slabs = [];
    this.#bytesLeft = 0;
  }
}

function holds(slab: Slab | undefined, seq: number): boolean {
  return slab !== undefined && seq >= slab.firstSeq && seq < slab.firstSeq + slab.ends.length;
}

function viewOf(slab: Slab, first: number, last: number, maxBytes: number): FrameView {
  const from = first - slab.firstSeq;
  const start = slab.start(from);
  let to = last - slab.firstSeq;
  if (slab.ends[to] - start > maxBytes) {
    to = from;
    while (slab.ends[to + 1] - start <= maxBytes) {
      to++;
    }
  }
  slab.pins++;
  return {
    bytes: slab.bytes.subarray(start, slab.ends[to]),
    lastSeq: slab.firstSeq + to,
    release: () => {
      slab.pins--;
    },
  };
}
