import type { JsonScanner } from './json-scanner.ts';

/** ASCII letters to lower case, other bytes as they are. */
const folded = new Uint8Array(256).map((_, byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte));

/**
 * The member names an object is read for. A sent name matches without regard to case, with the Unicode folds ſ→s and
 * K (U+212A)→k (spec wire.md §3). The table's names differ by more than case, so an exact match needs no precedence.
 */
export class KeyTable {
  readonly #names: readonly Buffer[];
  readonly #indexByText = new Map<string, number>();

  /** @param names ASCII */
  constructor(names: readonly string[]) {
    this.#names = names.map((name) => Buffer.from(name.toLowerCase()));
    for (const [index, name] of names.entries()) {
      this.#indexByText.set(name.toLowerCase(), index);
    }
  }

  /** Index of the name that the string scanned last spells, -1 for none. */
  find(scanner: JsonScanner): number {
    const { bytes, textStart } = scanner;
    if (!scanner.textIsPlain) {
      // toLowerCase turns U+212A into k; no other letter outside ASCII becomes an ASCII one.
      return this.#indexByText.get(scanner.text().toLowerCase().replaceAll('ſ', 's')) ?? -1;
    }
    const length = scanner.textEnd - textStart;
    for (let index = 0; index < this.#names.length; index++) {
      const name = this.#names[index];
      if (name?.length === length && spells(name, bytes, textStart)) {
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
