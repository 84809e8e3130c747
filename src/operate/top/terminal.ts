/** The terminal while `holdfast top` has it: a screen of its own, single keys, and everything as it was afterwards. */
import type { ReadStream, WriteStream } from 'node:tty';
import { type Key, keysOf } from './keys.ts';
import type { ScreenSize } from './lines.ts';

const enter = '\u001b[?1049h\u001b[?25l';
const leave = '\u001b[?25h\u001b[?1049l';
const usual: ScreenSize = { columns: 80, rows: 24 };

export class Terminal {
  readonly #input: ReadStream;
  readonly #output: WriteStream;
  readonly #onKey: (key: Key) => void;
  readonly #onResize: () => void;
  #isOpen = false;
  readonly #typed = (bytes: Buffer | string): void => {
    for (const key of keysOf(bytes.toString())) {
      this.#onKey(key);
    }
  };

  constructor(input: ReadStream, output: WriteStream, onKey: (key: Key) => void, onResize: () => void) {
    this.#input = input;
    this.#output = output;
    this.#onKey = onKey;
    this.#onResize = onResize;
  }

  get size(): ScreenSize {
    const { columns, rows } = this.#output;
    return columns > 0 && rows > 0 ? { columns, rows } : usual;
  }

  open(): void {
    this.#isOpen = true;
    this.#output.write(enter);
    this.#input.setRawMode(true);
    this.#input.on('data', this.#typed).resume();
    this.#output.on('resize', this.#onResize);
  }

  /** A second call does nothing. */
  close(): void {
    if (this.#isOpen) {
      this.#isOpen = false;
      this.#output.off('resize', this.#onResize);
      this.#input.off('data', this.#typed).pause();
      this.#input.setRawMode(false);
      this.#output.write(leave);
    }
  }

  /** @param lines harmless and no wider than the screen; the rest of it is emptied */
  paint(lines: readonly string[]): void {
    if (this.#isOpen) {
      const text = lines.map((line, index) => `\u001b[${index + 1};1H${line}\u001b[K`).join('');
      this.#output.write(`${text}\u001b[J`);
    }
  }
}
