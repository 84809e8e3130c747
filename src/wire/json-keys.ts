import { GrowingBytes } from './growing-bytes.ts';
import { addDecoded } from './json-literal.ts';
import type { JsonScanner } from './json-scanner.ts';

/** ASCII letters to lower case, other bytes as they are. */
const folded = new Uint8Array(256).map((_, byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte));

/** The letters outside ASCII that count as one of it, the long s (U+017F) and the Kelvin sign (U+212A). */
const longS = Buffer.from('\u017f');
const kelvin = Buffer.from('\u212a');
/** No character is sent in more bytes than an escape has. */
const longestCharacter = 6;

/** Shared by all tables, because nothing here yields to another one. */
const decoded = new GrowingBytes();

/**
 * The member names an object is read for. A sent name matches without regard to case, with the Unicode folds U+017F->s and
 * K (U+212A)->k (spec wire.md §3). The table's names differ by more than case, so an exact match needs no precedence.
 */
export class KeyTable {
  readonly #names: readonly Buffer[];
  readonly #longest: number;

  /** @param names ASCII */
  constructor(names: readonly string[]) {
    this.#names = names.map((name) => Buffer.from(name.toLowerCase()));
    this.#longest = Math.max(0, ...names.map((name) => name.length));
  }

  /** Index of the name that the string scanned last spells, -1 for none. */
  find({ bytes, textStart, textEnd, textIsPlain }: JsonScanner): number {
    if (textIsPlain) {
      return this.#indexOf(bytes, textStart, textEnd);
    }
    if (textEnd - textStart > longestCharacter * this.#longest) {
      return -1;
    }
    addDecoded(decoded.emptied(), bytes, textStart, textEnd);
    lettersToAscii(decoded);
    return this.#indexOf(decoded.bytes, 0, decoded.length);
  }

  #indexOf(bytes: Buffer, start: number, end: number): number {
    for (let index = 0; index < this.#names.length; index++) {
      const name = this.#names[index];
      if (name?.length === end - start && spells(name, bytes, start)) {
        return index;
      }
    }
    return -1;
  }
}

function spells(name: Buffer, bytes: Buffer, start: number): boolean {
  for (let index = 0; index < name.length; index++) {
    if (folded[bytes[start + index] ?? 0] !== name[index]) {
      return false;
    }
  }
  return true;
}

/** Puts the letter of ASCII in the place of each one that counts as such; bytes of other characters never match a name. */
function lettersToAscii(text: GrowingBytes): void {
  const { bytes, length } = text;
  text.length = 0;
  for (let at = 0; at < length; at++) {
    if (bytes[at] === longS[0] && bytes[at + 1] === longS[1] && at + 1 < length) {
      text.put(0x73);
      at += 1;
    } else if (
      bytes[at] === kelvin[0] &&
      bytes[at + 1] === kelvin[1] &&
      bytes[at + 2] === kelvin[2] &&
      at + 2 < length
    ) {
      text.put(0x6b);
      at += 2;
    } else {
      text.put(bytes[at] ?? 0);
    }
  }
}
