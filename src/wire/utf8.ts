/**
 * UTF-8 as the wire counts it: every byte that is not part of a valid sequence stands alone (spec wire.md §3, §4.1).
 * Node's own decoder joins such bytes, so it serves only text that turns out to be valid.
 */
import { isUtf8 } from 'node:buffer';

/** What a bad byte becomes: U+FFFD (request text), or a lone surrogate U+DC80-U+DCFF that still names the byte. */
export type BadByte = 'replacement' | 'surrogate';

/** Text of `bytes[start, end)`; one UTF-16 unit for each bad byte, a leading byte order mark is kept. */
export function decodeUtf8(bytes: Buffer, start: number, end: number, badByte: BadByte): string {
  const text = bytes.toString('utf8', start, end);
  // Node marks what it could not decode with U+FFFD; text without one was valid.
  if (!text.includes('\ufffd') || isUtf8(bytes.subarray(start, end))) {
    return text;
  }
  return decodeByteByByte(bytes, start, end, badByte === 'replacement' ? () => 0xfffd : (byte) => 0xdc00 + byte);
}

/** Text in which each byte that is not UTF-8 is a lone surrogate U+DC80-U+DCFF, so that it can be told from any character. */
export function decodeBytes(bytes: Buffer): string {
  return decodeUtf8(bytes, 0, bytes.length, 'surrogate');
}

function decodeByteByByte(bytes: Buffer, start: number, end: number, unitFor: (badByte: number) => number): string {
  // No sequence has more UTF-16 units than bytes.
  const units = new Uint16Array(end - start);
  let count = 0;
  let at = start;
  while (at < end) {
    const byte = bytes[at] ?? 0;
    const length = byte < 0x80 ? 1 : sequenceLength(bytes, at, end);
    if (length === 1) {
      units[count++] = byte;
    } else if (length === 2) {
      units[count++] = ((byte & 0x1f) << 6) | sixBits(bytes[at + 1]);
    } else if (length === 3) {
      units[count++] = ((byte & 0x0f) << 12) | (sixBits(bytes[at + 1]) << 6) | sixBits(bytes[at + 2]);
    } else if (length === 4) {
      const beyond =
        (((byte & 0x07) << 18) |
          (sixBits(bytes[at + 1]) << 12) |
          (sixBits(bytes[at + 2]) << 6) |
          sixBits(bytes[at + 3])) -
        0x10000;
      units[count++] = 0xd800 + (beyond >> 10);
      units[count++] = 0xdc00 + (beyond & 0x3ff);
    } else {
      units[count++] = unitFor(byte);
      at++;
      continue;
    }
    at += length;
  }
  return Buffer.from(units.buffer, 0, count * 2).toString('utf16le');
}

/** What a following byte of a sequence carries. */
function sixBits(byte = 0): number {
  return byte & 0x3f;
}

/** Length of the valid sequence of several bytes at `at`, 0 when there is none (RFC 3629 table; no overlong forms, no surrogates). */
export function sequenceLength(bytes: Buffer, at: number, end: number): number {
  const first = bytes[at] ?? 0;
  const second = bytes[at + 1] ?? 0;
  const length =
    first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (length === 0 || at + length > end) {
    return 0;
  }
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) {
    return 0;
  }
  for (let next = at + 2; next < at + length; next++) {
    if (((bytes[next] ?? 0) & 0xc0) !== 0x80) {
      return 0;
    }
  }
  return length;
}
