/**
 * The JSON literal of bytes that come in pieces, such as a file too long to be turned into text in one go. It goes from bytes
 * to bytes, so that a file costs the same whatever is in it: text that is not UTF-8 is thirty times slower by way of a string.
 */
import { sequenceLength } from './utf8.ts';

const nothing: Buffer = Buffer.alloc(0);
const escapeOf = new Map<number, Buffer>();
for (let byte = 0; byte < 0x20; byte++) {
  escapeOf.set(byte, Buffer.from(`\\u${byte.toString(16).padStart(4, '0')}`));
}
for (const [character, text] of Object.entries({
  '\b': 'b',
  '\f': 'f',
  '\n': 'n',
  '\r': 'r',
  '\t': 't',
  '"': '"',
  '\\': '\\',
})) {
  escapeOf.set(character.charCodeAt(0), Buffer.from(`\\${text}`));
}
for (const character of '<>&') {
  escapeOf.set(character.charCodeAt(0), Buffer.from(`\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`));
}
const [lineSeparator, paragraphSeparator, badByte] = ['\\u2028', '\\u2029', '\\ufffd'].map((text) => Buffer.from(text));
/** By byte: 1 where it stands for itself. */
const isPlain = new Uint8Array(256);
for (let byte = 0; byte < 0x80; byte++) {
  isPlain[byte] = escapeOf.has(byte) ? 0 : 1;
}
/** No byte becomes more. */
const longestEscape = 6;

/** Adds up to what `encodeBytes` makes of all pieces in one, without the quotes. */
export class JsonStringPieces {
  /** The beginning of a character whose other bytes come with the next piece. */
  #begun = nothing;
  #room = nothing;

  /** @param piece valid during the call only */
  add(piece: Buffer): Buffer {
    const bytes = this.#begun.length === 0 ? piece : Buffer.concat([this.#begun, piece]);
    const whole = bytes.length - begunBytes(bytes);
    this.#begun = Buffer.from(bytes.subarray(whole));
    return this.#escaped(bytes.subarray(0, whole));
  }

  /** What is left when no piece follows. */
  end(): Buffer {
    return this.#escaped(this.#begun);
  }

  #escaped(bytes: Buffer): Buffer {
    if (bytes.length === 0) {
      return nothing;
    }
    if (this.#room.length < bytes.length * longestEscape) {
      this.#room = Buffer.allocUnsafeSlow(bytes.length * longestEscape);
    }
    return Buffer.from(this.#room.subarray(0, escapeInto(this.#room, bytes)));
  }
}

/** @returns how many bytes were written */
function escapeInto(target: Buffer, bytes: Buffer): number {
  let to = 0;
  let at = 0;
  while (at < bytes.length) {
    const byte = bytes[at] ?? 0;
    if (isPlain[byte] === 1) {
      target[to++] = byte;
      at++;
      continue;
    }
    const length = byte < 0x80 ? 1 : sequenceLength(bytes, at, bytes.length);
    const replacement = byte < 0x80 ? escapeOf.get(byte) : length === 0 ? badByte : separatorAt(bytes, at, length);
    const source = replacement ?? bytes;
    const from = replacement === undefined ? at : 0;
    const count = replacement?.length ?? length;
    for (let index = 0; index < count; index++) {
      target[to++] = source[from + index] ?? 0;
    }
    at += Math.max(1, length);
  }
  return to;
}

/** The two line ends of Unicode, E2 80 A8 and E2 80 A9, are escaped (spec wire.md §4.1). */
function separatorAt(bytes: Buffer, at: number, length: number): Buffer | undefined {
  if (length !== 3 || bytes[at] !== 0xe2 || bytes[at + 1] !== 0x80) {
    return undefined;
  }
  const last = bytes[at + 2];
  return last === 0xa8 ? lineSeparator : last === 0xa9 ? paragraphSeparator : undefined;
}

/** How many bytes at the end may be the beginning of one character. */
function begunBytes(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) !== 0x80) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
      return length > back ? back : 0;
    }
  }
  return 0;
}
