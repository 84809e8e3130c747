/**
 * Strict JSON over bytes (spec wire.md §3): finds where values end and builds nothing but the texts it is asked for.
 * Never recursive, so that the deepest nesting the wire allows costs no stack.
 */
import type { Steps } from './steps.ts';
import { decodeUtf8 } from './utf8.ts';

/** Arrays and objects inside each other, the outermost counted (spec wire.md §3). */
export const maxDepth = 10_000;

export const ascii = {
  quote: 0x22,
  plus: 0x2b,
  comma: 0x2c,
  minus: 0x2d,
  dot: 0x2e,
  zero: 0x30,
  nine: 0x39,
  colon: 0x3a,
  openBracket: 0x5b,
  backslash: 0x5c,
  closeBracket: 0x5d,
  f: 0x66,
  n: 0x6e,
  t: 0x74,
  u: 0x75,
  openBrace: 0x7b,
  closeBrace: 0x7d,
} as const;

/** 1 for bytes that stand for themselves inside a string: printable ASCII and DEL, but no quote and no backslash. */
const isPlain = new Uint8Array(256).fill(1, 0x20, 0x80);
isPlain[ascii.quote] = 0;
isPlain[ascii.backslash] = 0;

const isHexDigit = new Uint8Array(256);
/** 1 for what may follow a backslash, `u` excepted. */
const isEscape = new Uint8Array(256);
for (const digit of Buffer.from('0123456789abcdefABCDEF')) {
  isHexDigit[digit] = 1;
}
for (const letter of Buffer.from('"\\/bfnrt')) {
  isEscape[letter] = 1;
}

/**
 * V8 copies a part of a text up to this length; a longer one would keep the whole text in memory. A call that makes a text of
 * bytes costs ten times as much as a part of a text.
 */
const longestCopied = 12;
/** So many short texts are made one by one before the rest of the bytes is turned into text for all that follow. */
const fewTexts = 64;

const literals = { true: Buffer.from('true'), false: Buffer.from('false'), null: Buffer.from('null') };

/** Which levels are objects, outermost first: room for the next scan, unless one that was interrupted has it. */
let spareLevels: Uint8Array | undefined;

/** Bytes that are read, whatever is in them, before others may come first. */
const bytesOfStep = 2048;

/**
 * Where a byte is read within the bounds, `?? 0` only tells the compiler that there is one: it never applies, and measured
 * runs are as fast without it.
 */

/** Moves over `bytes[position, end)`. Every `scan...` answers `false`, at an unspecified position, where the text is not strict JSON. */
export class JsonScanner {
  readonly bytes: Buffer;
  readonly end: number;
  position: number;

  /** The string scanned last, without its quotes. */
  textStart = 0;
  textEnd = 0;
  /** Whether that string is ASCII without escapes, so that its bytes are its text. */
  textIsPlain = true;
  /** Whether the number scanned last has neither fraction nor exponent. */
  numberIsInteger = true;

  /** Where the step ends. */
  #stepEnd: number;

  /** The bytes from `#restStart` on as text, once many short texts were asked for. */
  #rest: string | undefined;
  #restStart = 0;
  #shortTexts = 0;

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
    this.#stepEnd = start + bytesOfStep;
  }

  /** Asked between two values: whether a step is done, so that others may come first. */
  endsStep(): boolean {
    if (this.position < this.#stepEnd) {
      return false;
    }
    this.#stepEnd = this.position + bytesOfStep;
    return true;
  }

  /** Moves back to `start`, which has been passed. */
  goBack(start: number): void {
    this.position = start;
    this.#stepEnd = Math.min(this.#stepEnd, start + bytesOfStep);
  }

  /** The byte at the position, -1 at the end. */
  peek(): number {
    return this.position < this.end ? (this.bytes[this.position] ?? -1) : -1;
  }

  skipSpace(): void {
    const { bytes, end } = this;
    let at = this.position;
    while (at < end) {
      const byte = bytes[at];
      if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) {
        break;
      }
      at++;
    }
    this.position = at;
  }

  /** Whether nothing but white space follows. */
  isAtEnd(): boolean {
    this.skipSpace();
    return this.position === this.end;
  }

  /** Skips white space, then moves past `byte` if it comes next. */
  take(byte: number): boolean {
    this.skipSpace();
    if (this.peek() !== byte) {
      return false;
    }
    this.position++;
    return true;
  }

  /** A member's name and its colon, with white space around; the name is the last string afterwards. */
  scanKey(): boolean {
    this.skipSpace();
    if (!this.scanString() || !this.take(ascii.colon)) {
      return false;
    }
    this.skipSpace();
    return true;
  }

  /** Any bytes above 0x7F are let through: text is repaired when it is read, never refused. */
  scanString(): boolean {
    const { bytes, end } = this;
    if (this.peek() !== ascii.quote) {
      return false;
    }
    let at = this.position + 1;
    let plain = true;
    this.textStart = at;
    while (at < end) {
      // Four at a time: three times as fast through a long text.
      while (
        at + 4 <= end &&
        ((isPlain[bytes[at] ?? 0] ?? 0) &
          (isPlain[bytes[at + 1] ?? 0] ?? 0) &
          (isPlain[bytes[at + 2] ?? 0] ?? 0) &
          (isPlain[bytes[at + 3] ?? 0] ?? 0)) ===
          1
      ) {
        at += 4;
      }
      if (at === end) {
        return false;
      }
      const byte = bytes[at] ?? 0;
      if (isPlain[byte] === 1) {
        at++;
      } else if (byte === ascii.quote) {
        this.textEnd = at;
        this.textIsPlain = plain;
        this.position = at + 1;
        return true;
      } else if (byte >= 0x80) {
        plain = false;
        do {
          at++;
        } while (at < end && (bytes[at] ?? 0) >= 0x80);
      } else if (byte === ascii.backslash) {
        plain = false;
        const length = this.#escapeLength(at);
        if (length === 0) {
          return false;
        }
        at += length;
      } else {
        return false;
      }
    }
    return false;
  }

  #escapeLength(at: number): number {
    const { bytes, end } = this;
    if (at + 1 >= end) {
      return 0;
    }
    const letter = bytes[at + 1] ?? 0;
    if (letter !== ascii.u) {
      return isEscape[letter] === 1 ? 2 : 0;
    }
    if (at + 5 >= end) {
      return 0;
    }
    for (let digit = at + 2; digit < at + 6; digit++) {
      if (isHexDigit[bytes[digit] ?? 0] !== 1) {
        return 0;
      }
    }
    return 6;
  }

  scanNumber(): boolean {
    if (this.peek() === ascii.minus) {
      this.position++;
    }
    this.numberIsInteger = true;
    if (this.peek() === ascii.zero) {
      this.position++;
    } else if (!this.#scanDigits()) {
      return false;
    }
    if (this.peek() === ascii.dot) {
      this.numberIsInteger = false;
      this.position++;
      if (!this.#scanDigits()) {
        return false;
      }
    }
    // E and e.
    if ((this.peek() | 0x20) === 0x65) {
      this.numberIsInteger = false;
      this.position++;
      if (this.peek() === ascii.plus || this.peek() === ascii.minus) {
        this.position++;
      }
      return this.#scanDigits();
    }
    return true;
  }

  #scanDigits(): boolean {
    const { bytes, end } = this;
    const start = this.position;
    let at = start;
    while (at < end) {
      const byte = bytes[at] ?? 0;
      if (byte < ascii.zero || byte > ascii.nine) {
        break;
      }
      at++;
    }
    this.position = at;
    return at > start;
  }

  scanLiteral(name: 'true' | 'false' | 'null'): boolean {
    const { bytes, end, position } = this;
    const letters = literals[name];
    if (end - position < letters.length) {
      return false;
    }
    for (let index = 0; index < letters.length; index++) {
      if (bytes[position + index] !== letters[index]) {
        return false;
      }
    }
    this.position += letters.length;
    return true;
  }

  /** A string, number, `true`, `false` or `null`. */
  scanScalar(): boolean {
    switch (this.peek()) {
      case ascii.quote:
        return this.scanString();
      case ascii.t:
        return this.scanLiteral('true');
      case ascii.f:
        return this.scanLiteral('false');
      case ascii.n:
        return this.scanLiteral('null');
      default:
        return this.scanNumber();
    }
  }

  /**
   * The same for an empty object or array; most values are one of these, and need no steps.
   * @returns `undefined`, at the same position, for any other object or array
   */
  scanSmall(): boolean | undefined {
    const start = this.position;
    const byte = this.peek();
    if (byte !== ascii.openBrace && byte !== ascii.openBracket) {
      return this.scanScalar();
    }
    this.position++;
    if (this.take(byte === ascii.openBrace ? ascii.closeBrace : ascii.closeBracket)) {
      return true;
    }
    this.position = start;
    return undefined;
  }

  /** One value of any kind. `outerDepth`: how many arrays and objects it lies in. */
  *scanValue(outerDepth: number): Steps<boolean> {
    const levels = spareLevels ?? new Uint8Array(maxDepth);
    spareLevels = undefined;
    try {
      return yield* this.#scanLevels(outerDepth, levels);
    } finally {
      spareLevels = levels;
    }
  }

  *#scanLevels(outerDepth: number, isObjectAt: Uint8Array): Steps<boolean> {
    let depth = 0;
    for (;;) {
      const byte = this.peek();
      if (byte === ascii.openBrace || byte === ascii.openBracket) {
        const isObject = byte === ascii.openBrace;
        if (outerDepth + depth >= maxDepth) {
          return false;
        }
        this.position++;
        if (!this.take(isObject ? ascii.closeBrace : ascii.closeBracket)) {
          isObjectAt[depth++] = isObject ? 1 : 0;
          if (isObject && !this.scanKey()) {
            return false;
          }
          continue;
        }
      } else if (!this.scanScalar()) {
        return false;
      }
      if (this.endsStep()) {
        yield;
      }

      // A value is complete: on to the next one, past every level that ends here.
      for (;;) {
        if (depth === 0) {
          return true;
        }
        const isObject = isObjectAt[depth - 1] === 1;
        if (this.take(ascii.comma)) {
          if (isObject) {
            if (!this.scanKey()) {
              return false;
            }
          } else {
            this.skipSpace();
          }
          break;
        }
        if (!this.take(isObject ? ascii.closeBrace : ascii.closeBracket)) {
          return false;
        }
        depth--;
      }
    }
  }

  /** The string scanned last, escapes resolved and repaired: no bad byte and no unpaired surrogate is left (spec wire.md §3). */
  text(): string {
    const { bytes, textStart, textEnd } = this;
    if (this.textIsPlain) {
      return textEnd - textStart > longestCopied ? bytes.toString('latin1', textStart, textEnd) : this.#shortText();
    }
    const text = decodeUtf8(bytes, textStart, textEnd, 'replacement');
    // Scanned already, so JSON.parse cannot refuse it; it pairs surrogate escapes by the same rule.
    return text.includes('\\') ? (JSON.parse(`"${text}"`) as string).toWellFormed() : text;
  }

  #shortText(): string {
    const { bytes, textStart, textEnd } = this;
    if (this.#rest === undefined && ++this.#shortTexts > fewTexts) {
      this.#rest = bytes.toString('latin1', textStart, this.end);
      this.#restStart = textStart;
    }
    return this.#rest === undefined || textStart < this.#restStart
      ? bytes.toString('latin1', textStart, textEnd)
      : this.#rest.slice(textStart - this.#restStart, textEnd - this.#restStart);
  }
}
