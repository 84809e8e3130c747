/**
 * Where frames go that fall out of the memory window of a process (spec extensions.md §4 `spool-bytes`): files without names, a
 * quarter of the limit each, so that the oldest frames can go and a replay that was promised keeps what it needs. They end with
 * the process that has them open.
 *
 * Frames are written a slab at a time and in the background; until they are in the file they are read in memory. A write that
 * must not wait (for the memory budget), or that would let too much wait, is made at once.
 */
import { closeSync, readSync, write, writeSync } from 'node:fs';
import type { Frames } from '../session-engine.ts';
import { type KeptFrames, SpoolReadError } from './kept-frames.ts';
import type { Slab } from './slab.ts';

export interface SpoolPlace {
  /** Of one process. */
  readonly maxBytes: number;
  /** A new file without a name, for its owner only. @returns its descriptor. @throws whatever the system says */
  open(): number;
}

export interface SpoolEvents {
  /** So many frames up to `seq`, of so many bytes, are about to go, because the spool is full. */
  onDrop(seq: number, count: number, bytes: number): void;
  /** So many bytes have been given to the file. */
  onWritten(bytes: number): void;
  /** It could not be written or read: everything in it has gone, because what is kept has no gaps. */
  onFailure(error: unknown, lost: LostFrames): void;
}

/** What was in a spool that has failed; nothing, when it was empty. */
export interface LostFrames {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly bytes: number;
}

const filesPerSpool = 4;
/** Writes that may be on their way; their slabs are held beyond the window. */
const mostPending = 4;
const newline = 10;

/** One file; closed when nobody needs it. */
class SpoolFile {
  readonly fd: number;
  bytes = 0;
  #needs = 1;

  constructor(fd: number) {
    this.fd = fd;
  }

  need(): void {
    this.#needs++;
  }

  letGo(): void {
    this.#needs--;
    if (this.#needs === 0) {
      closeSync(this.fd);
    }
  }
}

/** Frames of one slab in a file, or on their way there. */
class SpooledFrames implements KeptFrames {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly next = undefined;
  readonly file: SpoolFile;
  /** Where they begin in the file, and how many bytes they are. */
  readonly at: number;
  readonly bytes: number;
  /** Until they are in the file. */
  #slab: Slab | undefined;
  /** They were read in part only, and the rest is wanted next. */
  #read: Buffer | undefined;
  #dropped = false;
  #pins = 0;

  constructor(slab: Slab, firstSeq: number, lastSeq: number, file: SpoolFile, bytes: number) {
    this.firstSeq = firstSeq;
    this.lastSeq = lastSeq;
    this.file = file;
    this.at = file.bytes;
    this.bytes = bytes;
    this.#slab = slab;
    slab.pin();
    file.need();
  }

  written(): void {
    this.#slab?.unpin();
    this.#slab = undefined;
  }

  /** The spool has them no more. */
  drop(): void {
    this.#dropped = true;
    this.#letGo();
  }

  pin(): void {
    this.#pins++;
  }

  unpin(): void {
    this.#pins--;
    this.#letGo();
  }

  #letGo(): void {
    if (this.#dropped && this.#pins === 0) {
      this.written();
      this.#read = undefined;
      this.file.letGo();
    }
  }

  holds(seq: number): boolean {
    return !this.#dropped && seq >= this.firstSeq && seq <= this.lastSeq;
  }

  size(first: number, last: number): number {
    if (first === this.firstSeq && last === this.lastSeq) {
      return this.bytes;
    }
    if (this.#slab !== undefined) {
      return this.#slab.size(first, last);
    }
    const bytes = this.#load();
    const start = this.#skip(bytes, 0, first - this.firstSeq);
    return this.#skip(bytes, start, last - first + 1) - start;
  }

  view(first: number, last: number, maxBytes: number): Frames {
    if (this.#slab !== undefined) {
      return this.#slab.view(first, last, maxBytes);
    }
    const bytes = this.#load();
    const start = this.#skip(bytes, 0, first - this.firstSeq);
    let end = this.#skip(bytes, start, 1);
    let to = first;
    while (to < last) {
      const next = this.#skip(bytes, end, 1);
      if (next - start > maxBytes) {
        break;
      }
      end = next;
      to++;
    }
    this.#read = to === this.lastSeq ? undefined : bytes;
    return { kind: 'frames', bytes: bytes.subarray(start, end), firstSeq: first, lastSeq: to, release: () => {} };
  }

  #load(): Buffer {
    if (this.#read !== undefined) {
      return this.#read;
    }
    const bytes = Buffer.allocUnsafe(this.bytes);
    for (let done = 0; done < bytes.length; ) {
      const read = this.#readAt(bytes, done);
      if (read === 0) {
        throw new SpoolReadError(`frames ${this.firstSeq} to ${this.lastSeq}: the file has ended`);
      }
      done += read;
    }
    return bytes;
  }

  #readAt(bytes: Buffer, done: number): number {
    try {
      return readSync(this.file.fd, bytes, done, bytes.length - done, this.at + done);
    } catch (error) {
      throw new SpoolReadError(`frames ${this.firstSeq} to ${this.lastSeq}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** @returns the offset behind `count` frames from `start` on: each is one line */
  #skip(bytes: Buffer, start: number, count: number): number {
    let at = start;
    for (let left = count; left > 0; left--) {
      const end = bytes.indexOf(newline, at);
      if (end < 0) {
        throw new SpoolReadError(`frames ${this.firstSeq} to ${this.lastSeq}: the file holds something else`);
      }
      at = end + 1;
    }
    return at;
  }
}

export class Spool {
  readonly maxBytes: number;
  readonly #place: SpoolPlace;
  readonly #events: SpoolEvents;
  #pieces: SpooledFrames[] = [];
  #file: SpoolFile | undefined;
  #bytes = 0;
  #pending = 0;

  constructor(place: SpoolPlace, events: SpoolEvents) {
    this.maxBytes = place.maxBytes;
    this.#place = place;
    this.#events = events;
  }

  /** The oldest frame here; `undefined`: there is none. */
  get firstSeq(): number | undefined {
    return this.#pieces[0]?.firstSeq;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes the frames `first ... last` of a slab, which follow those that are here.
   * @param now the memory is needed
   * @returns whether it has them; if not, it is empty
   */
  put(slab: Slab, first: number, last: number, now: boolean): boolean {
    const size = slab.size(first, last);
    try {
      const file = this.#fileFor(size);
      const piece = new SpooledFrames(slab, first, last, file, size);
      file.bytes += size;
      this.#bytes += size;
      this.#pieces.push(piece);
      this.#write(piece, slab, now || this.#pending >= mostPending);
      this.#events.onWritten(size);
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  #fileFor(size: number): SpoolFile {
    if (size > this.maxBytes) {
      throw new Error(`spool-bytes of ${this.maxBytes} is too little for ${size} bytes of frames`);
    }
    while (this.#bytes + size > this.maxBytes) {
      this.#dropOldestFile();
    }
    if (this.#file === undefined || this.#file.bytes + size > this.maxBytes / filesPerSpool) {
      this.#file?.letGo();
      this.#file = undefined;
      this.#file = new SpoolFile(this.#place.open());
    }
    return this.#file;
  }

  #write(piece: SpooledFrames, slab: Slab, now: boolean): void {
    const { file, at, bytes: size, firstSeq } = piece;
    const start = slab.start(firstSeq);
    if (now) {
      for (let done = 0; done < size; ) {
        done += writeSync(file.fd, slab.bytes, start + done, size - done, at + done);
      }
      piece.written();
      return;
    }
    this.#pending++;
    file.need();
    write(file.fd, slab.bytes, start, size, at, (error, written) => {
      this.#pending--;
      file.letGo();
      if (error === null && written === size) {
        piece.written();
      } else if (this.#pieces.includes(piece)) {
        this.fail(error ?? new Error(`${written} of ${size} bytes were written`));
      }
    });
  }

  #dropOldestFile(): void {
    const [oldest] = this.#pieces;
    if (oldest === undefined) {
      return;
    }
    let count = this.#pieces.findIndex(({ file }) => file !== oldest.file);
    if (count < 0) {
      count = this.#pieces.length;
      this.#file?.letGo();
      this.#file = undefined;
    }
    const going = this.#pieces.slice(0, count);
    const bytes = going.reduce((sum, piece) => sum + piece.bytes, 0);
    const lastSeq = going.at(-1)?.lastSeq ?? 0;
    this.#events.onDrop(lastSeq, lastSeq - oldest.firstSeq + 1, bytes);
    this.#pieces.splice(0, count);
    this.#bytes -= bytes;
    for (const piece of going) {
      piece.drop();
    }
  }

  /** The piece with frame `seq`; `undefined`: it is not here. */
  pieceOf(seq: number): SpooledFrames | undefined {
    let [low, high] = [0, this.#pieces.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#pieces[middle]?.lastSeq ?? 0) < seq) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const piece = this.#pieces[low];
    return piece?.holds(seq) ? piece : undefined;
  }

  /** It cannot be used: everything is forgotten. */
  fail(error: unknown): void {
    const lost = { firstSeq: this.firstSeq ?? 0, lastSeq: this.#pieces.at(-1)?.lastSeq ?? 0, bytes: this.#bytes };
    this.clear();
    this.#events.onFailure(error, lost);
  }

  /** Forgets everything. What was promised to somebody stays readable. */
  clear(): void {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    this.#file?.letGo();
    this.#file = undefined;
    for (const piece of pieces) {
      piece.drop();
    }
  }
}
