/** Most bytes a line may have without its `\n`, a `\r` before it counted (spec wire.md §2). */
export const maxLineBytes = 1_048_575;

const newline = 0x0a;
const carriageReturn = 0x0d;

/** A connection that has read a huge line gives the memory back down to this; a full read of a socket needs no more. */
const keptBytes = 262_144;
const firstBytes = 4096;

/** A line that may still become longer needs room for one read of a socket beyond the longest line. */
const spareBytes = 131_072;

/** So much that the copying of a growing line stays in proportion to its length. */
const roomFor = (bytes: number): number => 2 ** Math.ceil(Math.log2(bytes)) * 2;

const nothing: Buffer = Buffer.alloc(0);

/**
 * Splits a byte stream into lines (spec wire.md §2). The caller pulls them, so it can stop between two lines
 * and go on later; chunks pushed meanwhile wait.
 */
export class LineReader {
  #store = nothing;
  /** `#store` up to where it is filled. */
  #filled = nothing;
  /** Where the first line not handed out yet begins. */
  #start = 0;
  /** No `\n` lies between `#start` and here. */
  #scanned = 0;
  #ended = false;
  #overlong = false;
  readonly #maxBytes: number;

  /** @param options.maxBytes longest line without its `\n`; by default that of a request */
  constructor(options: { readonly maxBytes?: number } = {}) {
    this.#maxBytes = options.maxBytes ?? maxLineBytes;
  }

  /**
   * `true` once `next` has come to a line over the cap: the connection is to be closed without a reply. The lines
   * before it have been handed out; the rest of the stream is discarded.
   */
  get overlong(): boolean {
    return this.#overlong;
  }

  /** Bytes of memory that are held for lines. */
  get heldBytes(): number {
    return this.#store.length;
  }

  /** Bytes that were pushed and not handed out. */
  get pendingBytes(): number {
    return this.#filled.length - this.#start;
  }

  /** Takes a copy of `chunk`. Lines handed out before are no longer valid. */
  push(chunk: Buffer): void {
    if (this.#overlong) {
      return;
    }
    const filled = this.#filled.length;
    if (filled + chunk.length <= this.#store.length) {
      chunk.copy(this.#store, filled);
      this.#filled = this.#store.subarray(0, filled + chunk.length);
      return;
    }
    const pending = filled - this.#start;
    const needed = pending + chunk.length;
    // Moving down pays only when half the space comes free by it; otherwise a long line would be moved again and again.
    const store =
      needed <= this.#store.length / 2
        ? this.#store
        : Buffer.allocUnsafeSlow(Math.max(firstBytes, needed, Math.min(roomFor(needed), this.#maxBytes + spareBytes)));
    this.#store.copy(store, 0, this.#start, filled);
    chunk.copy(store, pending);
    this.#replaceStore(store, needed);
  }

  /** No more chunks will come: what follows the last `\n` is a line too. */
  end(): void {
    this.#ended = true;
  }

  /** The next line that is not empty, without its line end; `undefined` when more input is needed. Valid until the next `push`. */
  next(): Buffer | undefined {
    while (!this.#overlong) {
      const filled = this.#filled.length;
      let lineEnd = this.#filled.indexOf(newline, this.#scanned);
      if (lineEnd === -1) {
        this.#scanned = filled;
        if (filled - this.#start > this.#maxBytes) {
          this.#discard();
          return undefined;
        }
        if (!this.#ended || filled === this.#start) {
          this.#shrink();
          return undefined;
        }
        lineEnd = filled;
      }
      const start = this.#start;
      if (lineEnd - start > this.#maxBytes) {
        this.#discard();
        return undefined;
      }
      this.#start = Math.min(lineEnd + 1, filled);
      this.#scanned = this.#start;
      const end = lineEnd > start && this.#filled[lineEnd - 1] === carriageReturn ? lineEnd - 1 : lineEnd;
      if (end > start) {
        return this.#filled.subarray(start, end);
      }
    }
    return undefined;
  }

  #discard(): void {
    this.#overlong = true;
    this.#start = 0;
    this.#scanned = 0;
    this.#store = nothing;
    this.#filled = nothing;
  }

  /** Everything complete has been handed out. The lines keep the memory they are in until nobody holds them. */
  #shrink(): void {
    const pending = this.#filled.length - this.#start;
    if (this.#store.length <= keptBytes) {
      return;
    }
    if (pending <= keptBytes / 2) {
      const store = pending === 0 ? nothing : Buffer.allocUnsafeSlow(keptBytes);
      this.#store.copy(store, 0, this.#start, this.#filled.length);
      this.#replaceStore(store, pending);
    }
  }

  #replaceStore(store: Buffer, filled: number): void {
    this.#scanned -= this.#start;
    this.#start = 0;
    this.#store = store;
    this.#filled = store.subarray(0, filled);
  }
}
