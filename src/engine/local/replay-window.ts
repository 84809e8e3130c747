/**
 * The replay window: the last 16 MiB of a process's frames, byte for byte as they were first sent (spec process.md §9).
 *
 * Frames lie next to each other in slabs, so that many of them leave in one write of one view. The bytes of a slab are never
 * rewritten while somebody may still send them: a view pins its slab, and only a slab without pins is used again.
 *
 * With a spool (spool.ts) frames that fall out of memory go on being kept there, a slab at a time, and are read like any other.
 */
import { type ByteCount, noByteCount } from '../../base/memory-budget.ts';
import { Cursor } from './cursor.ts';
import type { KeptFrames } from './kept-frames.ts';
import { type BlockSource, Slab } from './slab.ts';
import { type LostFrames, Spool, type SpoolPlace } from './spool.ts';

/** Serialized frames kept per process (spec process.md §9). */
export const windowBytes = 16_777_216;

/**
 * Largest slab: four of the largest frames (32 KiB of output each), what one turn of the loop brings, with some room for long
 * process ids. Up to two of them are held beyond the window. A session that prints little gets by with small ones.
 */
export const maxSlabBytes = 172 * 1024;
const minSlabBytes = 1024;

export interface WindowEvents {
  /** So many frames up to this seq are about to go: one, or with a spool many. */
  onEvict(seq: number, count: number): void;
  /** The first frames were given to the spool, and so many bytes were. */
  onSpooled?(bytes: number): void;
  /** The spool could not be written or read; what was in it has gone. */
  onSpoolFailure?(error: unknown): void;
}

export interface WindowMemory {
  /** Counts the memory of the frames, by slabs and not by frames. */
  readonly held?: ByteCount | undefined;
  /** Where the largest slabs lie; `undefined`: in ordinary memory. */
  readonly blocks?: BlockSource | undefined;
  /** Where frames go that fall out of memory; `undefined`: nowhere. */
  readonly spool?: SpoolPlace | undefined;
}

export class ReplayWindow {
  readonly #maxBytes: number;
  readonly #events: WindowEvents;
  readonly #held: ByteCount;
  readonly #blocks: BlockSource | undefined;
  #head: Slab | undefined;
  #tail: Slab | undefined;
  #spare: Slab | undefined;
  #bytes = 0;
  #bytesEver = 0;
  #bytesGone = 0;
  readonly #spool: Spool | undefined;
  /** Oldest frame in memory; 0 before the first. */
  #firstSeq = 0;
  #lastSeq = 0;
  /** The spool has been given every frame up to this one. */
  #spooledTo = 0;

  /**
   * @param maxBytes serialized frames with their newlines; the newest frame is kept even alone above it
   * @param lastSeq of frames there have been before and are not here
   */
  constructor(maxBytes: number, events: WindowEvents, memory: WindowMemory = {}, lastSeq = 0) {
    this.#maxBytes = maxBytes;
    this.#events = events;
    this.#held = memory.held ?? noByteCount;
    this.#blocks = memory.blocks;
    this.#lastSeq = lastSeq;
    this.#spool = memory.spool === undefined ? undefined : this.#createSpool(memory.spool);
  }

  #createSpool(place: SpoolPlace): Spool {
    return new Spool(place, {
      onDrop: (seq, count, bytes) => this.#gone(seq, count, bytes),
      onWritten: (bytes) => this.#events.onSpooled?.(bytes),
      onFailure: (error, lost) => this.#spoolFailed(error, lost),
    });
  }

  /** Oldest frame still here; 0 before the first. */
  get firstSeq(): number {
    return this.#spool?.firstSeq ?? this.#firstSeq;
  }

  /** Newest frame; 0 before the first. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Of frames in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Of frames that only the spool has. */
  get spoolBytes(): number {
    return this.#bytesEver - this.#bytesGone - this.#bytes;
  }

  /** Bytes of all frames that are not here any more. */
  get bytesGone(): number {
    return this.#bytesGone;
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

  /** Where frame `seq` is kept; `undefined` when it is not here (yet). */
  keptWith(seq: number): KeptFrames | undefined {
    return seq < this.#firstSeq ? this.#spool?.pieceOf(seq) : this.slabOf(seq);
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
      this.#evictOldest(this.#head);
    }
  }

  /** @param now the memory is needed: nothing is to be written in the background */
  #evictOldest(head: Slab, now = false): void {
    const seq = this.#firstSeq;
    const bytes = head.size(seq, seq);
    if (!this.#isSpooled(head, seq, now)) {
      this.#gone(seq, 1, bytes);
    }
    this.#bytes -= bytes;
    this.#firstSeq++;
    if (seq === head.lastSeq) {
      this.#dropHead(head);
    }
  }

  /** Whether the spool has the frame. It is given all of a slab with the first frame. */
  #isSpooled(head: Slab, seq: number, now: boolean): boolean {
    const spool = this.#spool;
    if (spool === undefined) {
      return false;
    }
    if (seq > this.#spooledTo && spool.put(head, seq, head.lastSeq, now)) {
      this.#spooledTo = head.lastSeq;
    }
    return seq <= this.#spooledTo;
  }

  /** Nobody can read the frames up to this one any more. */
  #gone(seq: number, count: number, bytes: number): void {
    this.#events.onEvict(seq, count);
    this.#bytesGone += bytes;
  }

  /** What is in the spool cannot be read. */
  spoolFailed(error: unknown): void {
    this.#spool?.fail(error);
  }

  /** Some of what was lost may be in memory. */
  #spoolFailed(error: unknown, { firstSeq, lastSeq, bytes }: LostFrames): void {
    const first = this.#firstSeq;
    this.#spooledTo = Math.min(this.#spooledTo, first - 1);
    const inMemory = lastSeq >= first ? (this.slabOf(first)?.size(first, lastSeq) ?? 0) : 0;
    if (bytes > inMemory) {
      const end = Math.min(lastSeq, first - 1);
      this.#gone(end, end - firstSeq + 1, bytes - inMemory);
    }
    this.#events.onSpoolFailure?.(error);
  }

  /**
   * Gives memory back: evicts from the front what is beyond `toBytes`, but not the newest frame.
   * @param before only frames before this one
   * @returns bytes of the frames that went
   */
  shrink(toBytes: number, before = Number.POSITIVE_INFINITY): number {
    const was = this.#bytes;
    const end = Math.min(before, this.#lastSeq);
    while (this.#head !== undefined && this.#bytes > toBytes && this.#firstSeq < end) {
      this.#evictOldest(this.#head, true);
    }
    this.#spare?.leaveWindow();
    this.#spare = undefined;
    return was - this.#bytes;
  }

  /** Nothing more will be appended: the memory behind the newest frame, and before the oldest, is given back. */
  close(): void {
    this.#spare?.leaveWindow();
    this.#spare = undefined;
    const slab = this.#head;
    if (slab === undefined || slab !== this.#tail || this.#bytes > slab.bytes.length / 2) {
      return;
    }
    const [firstSeq, lastSeq] = [this.#firstSeq, this.#lastSeq];
    const only = new Slab(Buffer.allocUnsafeSlow(this.#bytes), firstSeq, this.#held);
    slab.bytes.copy(only.bytes, 0, slab.start(firstSeq), slab.end(lastSeq));
    for (let seq = firstSeq; seq <= lastSeq; seq++) {
      only.add(slab.size(seq, seq));
    }
    this.#head = only;
    this.#tail = only;
    slab.leaveWindow();
  }

  /** The process is forgotten. What readers were promised they have pinned. */
  letGo(): void {
    this.#spool?.clear();
    this.#bytesGone = this.#bytesEver;
    for (let slab = this.#head; slab !== undefined; slab = slab.next) {
      slab.leaveWindow();
    }
    this.#spare?.leaveWindow();
    this.#head = undefined;
    this.#tail = undefined;
    this.#spare = undefined;
    this.#bytes = 0;
    this.#firstSeq = this.#lastSeq + 1;
  }

  #dropHead(slab: Slab): void {
    this.#head = slab.next;
    if (this.#head === undefined) {
      this.#tail = undefined;
    }
    // Without this link a replay that still holds an old slab would hold everything written since.
    slab.next = undefined;
    if (slab.isFree && slab.bytes.length === maxSlabBytes && this.#spare === undefined) {
      this.#spare = slab;
    } else {
      slab.leaveWindow();
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
    if (spare !== undefined && wanted <= spare.bytes.length && spare.isFree) {
      this.#spare = undefined;
      spare.reuse(seq);
      return spare;
    }
    const block = wanted === maxSlabBytes ? this.#blocks?.take(wanted) : undefined;
    return new Slab(block?.bytes ?? Buffer.allocUnsafeSlow(wanted), seq, this.#held, block);
  }
}
