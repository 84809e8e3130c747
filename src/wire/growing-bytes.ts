/** Room at first, and the most that is kept for later. */
const firstRoom = 4096;
const keptRoom = 65_536;

/** Bytes that are written one after the other, into room that grows. */
export class GrowingBytes {
  bytes: Buffer = Buffer.allocUnsafeSlow(firstRoom);
  /** How many there are. */
  length = 0;

  /** Begins anew in the same room. */
  emptied(): this {
    this.length = 0;
    if (this.bytes.length > keptRoom) {
      this.bytes = Buffer.allocUnsafeSlow(firstRoom);
    }
    return this;
  }

  /** Makes sure that `more` bytes can be written behind `length`; `bytes` may be another buffer afterwards. */
  ensure(more: number): void {
    if (this.length + more > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.bytes.length, this.length + more));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
  }

  /** One byte; `ensure` has made room for it. */
  put(byte: number): void {
    this.bytes[this.length++] = byte;
  }

  /** ASCII; `ensure` has made room for it. */
  putText(text: string): void {
    for (let index = 0; index < text.length; index++) {
      this.bytes[this.length++] = text.charCodeAt(index);
    }
  }

  /** Copies `source[from, to)`. */
  add(source: Uint8Array, from: number, to: number): void {
    this.ensure(to - from);
    if (to - from > longestByByte) {
      this.bytes.set(source.subarray(from, to), this.length);
      this.length += to - from;
    } else {
      for (let at = from; at < to; at++) {
        this.bytes[this.length++] = source[at] ?? 0;
      }
    }
  }
}

/** A call that copies costs more than copying some bytes by hand. */
const longestByByte = 48;
