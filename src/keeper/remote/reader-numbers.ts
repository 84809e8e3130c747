/** Readers by the numbers that stand for them on the channel. */
import type { Reader } from '../../engine/session-engine.ts';

export class ReaderNumbers {
  readonly #numbers = new WeakMap<Reader, number>();
  /** Readers that a call has named or that have a stream. */
  readonly #used = new Map<number, { readonly reader: Reader; uses: number }>();
  #last = 0;

  of(reader: Reader): number {
    let number = this.#numbers.get(reader);
    if (number === undefined) {
      this.#last++;
      number = this.#last;
      this.#numbers.set(reader, number);
    }
    return number;
  }

  /** `undefined`: nothing names it any more. */
  reader(number: number): Reader | undefined {
    return this.#used.get(number)?.reader;
  }

  /** A call names it, or a stream is its. */
  use(reader: Reader): void {
    const number = this.of(reader);
    const known = this.#used.get(number) ?? { reader, uses: 0 };
    known.uses++;
    this.#used.set(number, known);
  }

  /** The call is answered, or the stream over. */
  unuse(reader: Reader): void {
    const number = this.of(reader);
    const known = this.#used.get(number);
    if (known !== undefined) {
      known.uses--;
      if (known.uses === 0) {
        this.#used.delete(number);
      }
    }
  }
}
