/**
 * Deterministic noise: bytes that a checker can make again for any range, so that gigabytes need not be kept to be compared.
 * Every 64-byte cell carries its own number, so no two ranges of a stream are alike.
 */

const blockBytes = 65_536;
const cellBytes = 64;

export class Noise {
  readonly #block: Buffer;
  readonly #numbers: DataView;
  /** Number of the block that `#block` holds at present. */
  #held = -1;

  /** @param seed any text; equal seeds give equal noise */
  constructor(seed: string) {
    this.#block = Buffer.alloc(blockBytes);
    this.#numbers = new DataView(this.#block.buffer, this.#block.byteOffset, blockBytes);
    // FNV-1a of the seed starts an xorshift32.
    let state = 0x811c9dc5;
    for (const byte of Buffer.from(seed)) {
      state = Math.imul(state ^ byte, 0x01000193);
    }
    state ||= 1;
    for (let at = 0; at < blockBytes; at += 4) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      this.#numbers.setInt32(at, state);
    }
  }

  /** Fills `target` with the bytes from `offset` on and returns it. */
  fill(target: Buffer, offset: number): Buffer {
    for (let done = 0; done < target.length; ) {
      const at = offset + done;
      const within = at % blockBytes;
      this.#hold((at - within) / blockBytes);
      done += this.#block.copy(target, done, within, Math.min(blockBytes, within + target.length - done));
    }
    return target;
  }

  /** The bytes `offset` … `offset`+`length`-1. */
  bytes(offset: number, length: number): Buffer {
    return this.fill(Buffer.allocUnsafe(length), offset);
  }

  #hold(block: number): void {
    if (block !== this.#held) {
      this.#held = block;
      const firstCell = block * (blockBytes / cellBytes);
      for (let cell = 0; cell < blockBytes / cellBytes; cell++) {
        this.#numbers.setFloat64(cell * cellBytes, firstCell + cell);
      }
    }
  }
}

const known = new Map<string, Noise>();

/** The same noise for the same seed, made once: whoever judges a long run asks for it with every record. */
export function noiseOf(seed: string): Noise {
  let noise = known.get(seed);
  if (noise === undefined) {
    noise = new Noise(seed);
    known.set(seed, noise);
  }
  return noise;
}
