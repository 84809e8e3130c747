/** Bytes pulled from a source piece by piece, so that memory holds one piece whatever the length of the data. */
export class ByteReader {
  readonly #next: () => Promise<Buffer | undefined>;
  #piece: Buffer = Buffer.alloc(0);

  /** @param next the next piece, `undefined` at the end of the data; a piece may be overwritten by the call after it */
  constructor(next: () => Promise<Buffer | undefined>) {
    this.#next = next;
  }

  /** At least one byte and at most `most`, valid until the next call; `undefined` at the end. */
  async some(most: number): Promise<Buffer | undefined> {
    while (this.#piece.length === 0) {
      const piece = await this.#next();
      if (piece === undefined) {
        return undefined;
      }
      this.#piece = piece;
    }
    const taken = this.#piece.subarray(0, most);
    this.#piece = this.#piece.subarray(taken.length);
    return taken;
  }

  /** A copy of `length` bytes; fewer when the data ends before. */
  async exactly(length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const some = await this.some(length - filled);
      if (some === undefined) {
        break;
      }
      filled += some.copy(bytes, filled);
    }
    return bytes.subarray(0, filled);
  }

  /** Drops bytes. @returns how many there were, up to `length` */
  async skip(length: number): Promise<number> {
    let skipped = 0;
    while (skipped < length) {
      const some = await this.some(length - skipped);
      if (some === undefined) {
        break;
      }
      skipped += some.length;
    }
    return skipped;
  }

  /** Puts back the rest of the piece that was taken last. */
  putBack(rest: Buffer): void {
    this.#piece = this.#piece.length === 0 ? rest : Buffer.concat([rest, this.#piece]);
  }
}
