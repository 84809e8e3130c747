/** A string of a request as a JSON literal of a reply, from bytes to bytes (spec wire.md §3 and §4.1). */
import type { GrowingBytes } from './growing-bytes.ts';
import { ascii } from './json-scanner.ts';
import { sequenceLength } from './utf8.ts';

const replacementCharacter = 0xfffd;
/** No character has more bytes than this as an escape, and none is sent in more than two of them. */
const longestEscape = 6;
const longestSent = 2 * longestEscape;

/** What the letter behind a backslash stands for. */
const escapedBy = new Uint8Array(256);
/** Rows of the two line ends of Unicode, U+2028 and U+2029, behind those of the bytes. */
const [lineSeparator, paragraphSeparator] = [256, 257];
/** What stands for what a literal cannot have as it is: rows of `longestEscape` bytes, and how many count; 0: it can. */
const escapes = Buffer.alloc((paragraphSeparator + 1) * longestEscape);
const escapeLengths = new Uint8Array(paragraphSeparator + 1);

function setEscape(row: number, escaped: string): void {
  escapes.write(escaped, row * longestEscape, 'latin1');
  escapeLengths[row] = escaped.length;
}

setEscape(lineSeparator, unicodeEscape(0x2028));
setEscape(paragraphSeparator, unicodeEscape(0x2029));

for (let byte = 0; byte < 0x20; byte++) {
  setEscape(byte, unicodeEscape(byte));
}
for (const character of '<>&') {
  setEscape(character.charCodeAt(0), unicodeEscape(character.charCodeAt(0)));
}
for (const [letter, character] of Object.entries({
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  '"': '"',
  '\\': '\\',
})) {
  escapedBy[letter.charCodeAt(0)] = character.charCodeAt(0);
  setEscape(character.charCodeAt(0), `\\${letter}`);
}
escapedBy['/'.charCodeAt(0)] = '/'.charCodeAt(0);

function unicodeEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}

/**
 * The text of `source[from, to)`, which is the inside of a strict JSON string, as UTF-8: escapes are resolved, a byte that is
 * not UTF-8 and half a surrogate pair become U+FFFD.
 * @param until no character from here on is begun
 * @returns where the next one begins
 */
export function addDecoded(target: GrowingBytes, source: Buffer, from: number, to: number, until = to): number {
  // Three bytes for each bad one; nothing else becomes longer.
  target.ensure(3 * (until - from) + longestSent);
  let at = from;
  while (at < until) {
    const plain = addPlain(target, source, at, until);
    at += plain;
    if (plain === 0) {
      at += source[at] === ascii.backslash ? addEscape(target, source, at, to) : addSequence(target, source, at, to);
    }
  }
  return at;
}

/** Up to the next backslash or byte outside ASCII. @returns how many bytes */
function addPlain(target: GrowingBytes, source: Buffer, from: number, to: number): number {
  const { bytes, length } = target;
  let at = from;
  for (; at < to; at++) {
    const byte = source[at] ?? 0;
    if (byte >= 0x80 || byte === ascii.backslash) {
      break;
    }
    bytes[length + at - from] = byte;
  }
  target.length += at - from;
  return at - from;
}

/** @returns how many bytes the character at `at` has */
function addSequence(target: GrowingBytes, source: Buffer, at: number, end: number): number {
  const count = sequenceLength(source, at, end);
  if (count === 0) {
    putCharacter(target, replacementCharacter);
    return 1;
  }
  for (let place = at; place < at + count; place++) {
    target.put(source[place] ?? 0);
  }
  return count;
}

/** @returns how many bytes the escape at `at` has */
function addEscape(target: GrowingBytes, source: Buffer, at: number, end: number): number {
  const letter = source[at + 1] ?? 0;
  if (letter !== ascii.u) {
    target.put(escapedBy[letter] ?? 0);
    return 2;
  }
  const unit = hexadecimal(source, at + 2);
  if (
    unit >= 0xd800 &&
    unit <= 0xdbff &&
    at + 12 <= end &&
    source[at + 6] === ascii.backslash &&
    source[at + 7] === ascii.u
  ) {
    const low = hexadecimal(source, at + 8);
    if (low >= 0xdc00 && low <= 0xdfff) {
      putCharacter(target, 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff));
      return 12;
    }
  }
  putCharacter(target, unit >= 0xd800 && unit <= 0xdfff ? replacementCharacter : unit);
  return 6;
}

/** Of the four digits at `at`. */
function hexadecimal(source: Buffer, at: number): number {
  let value = 0;
  for (let digit = at; digit < at + 4; digit++) {
    const byte = source[digit] ?? 0;
    value = value * 16 + (byte <= ascii.nine ? byte - ascii.zero : (byte | 0x20) - 0x61 + 10);
  }
  return value;
}

function putCharacter(target: GrowingBytes, code: number): void {
  if (code < 0x80) {
    target.put(code);
  } else if (code < 0x800) {
    target.put(0xc0 | (code >> 6));
    target.put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    target.put(0xe0 | (code >> 12));
    target.put(0x80 | ((code >> 6) & 0x3f));
    target.put(0x80 | (code & 0x3f));
  } else {
    target.put(0xf0 | (code >> 18));
    target.put(0x80 | ((code >> 12) & 0x3f));
    target.put(0x80 | ((code >> 6) & 0x3f));
    target.put(0x80 | (code & 0x3f));
  }
}

/** The literal, quotes included, of the UTF-8 text `source[from, to)`. */
export function addLiteral(target: GrowingBytes, source: Buffer, from: number, to: number): void {
  target.ensure(longestEscape * (to - from) + 2);
  target.put(ascii.quote);
  addEscaped(target, source, from, to);
  target.put(ascii.quote);
}

/**
 * What stands between the quotes for the text of `source` from `from` on.
 * @param until no character from here on is begun
 * @returns where the next one begins
 */
export function addEscaped(target: GrowingBytes, source: Buffer, from: number, until: number): number {
  target.ensure(longestEscape * (until - from));
  const { bytes } = target;
  let written = target.length;
  let at = from;
  for (; at < until; at++) {
    const byte = source[at] ?? 0;
    let row = byte;
    if (byte === 0xe2 && isSeparator(source, at)) {
      row = source[at + 2] === 0xa8 ? lineSeparator : paragraphSeparator;
      at += 2;
    }
    const length = escapeLengths[row] ?? 0;
    if (length === 0) {
      bytes[written++] = byte;
      continue;
    }
    const begin = row * longestEscape;
    for (let place = begin; place < begin + length; place++) {
      bytes[written++] = escapes[place] ?? 0;
    }
  }
  target.length = written;
  return at;
}

/** Whether ASCII text stands in a literal as it is. */
export function needsNoEscape(source: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    if (escapeLengths[source[at] ?? 0] !== 0) {
      return false;
    }
  }
  return true;
}

/** Whether the character is U+2028 or U+2029, the two line ends of Unicode. */
function isSeparator(source: Buffer, at: number): boolean {
  return source[at + 1] === 0x80 && (source[at + 2] === 0xa8 || source[at + 2] === 0xa9);
}
