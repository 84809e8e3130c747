/**
 * Bytes of the OS as text that loses nothing. Environments, paths and command lines of POSIX are bytes, nearly always UTF-8.
 * A byte that is not part of valid UTF-8 becomes a lone surrogate U+DC80 to U+DCFF that still names it (the rule of
 * src/wire/utf8.ts), so that such text can be compared, searched and put together like any other. Whoever hands it to the OS
 * turns it back; text that is well formed is plain UTF-8.
 */
import { isUtf8 } from 'node:buffer';

export function rawText(bytes: Buffer): string {
  if (isUtf8(bytes)) {
    return bytes.toString('utf8');
  }
  if (bytes.length > longestByCharacter) {
    // The half without the bad byte is decoded at once.
    const middle = characterStart(bytes, bytes.length >> 1);
    return rawText(bytes.subarray(0, middle)) + rawText(bytes.subarray(middle));
  }
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const length = characterBytes(bytes, at);
    text += length === 0 ? String.fromCharCode(0xdc00 + bytes.readUInt8(at)) : bytes.toString('utf8', at, at + length);
    at += length === 0 ? 1 : length;
  }
  return text;
}

const longestByCharacter = 32;

/** The first byte of the character that `at` belongs to. No character has more than three bytes after its first. */
function characterStart(bytes: Buffer, at: number): number {
  for (let start = at; start > at - 4; start--) {
    if ((bytes.readUInt8(start) & 0xc0) !== 0x80) {
      return start;
    }
  }
  return at;
}

/** How many bytes the character at `at` has; 0 when no valid one begins there. */
function characterBytes(bytes: Buffer, at: number): number {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
    if (isUtf8(bytes.subarray(at, at + length))) {
      return length;
    }
  }
  return 0;
}

/** With the flag `u` the halves of a pair are one character, which this does not match. */
const badBytes = /([\udc80-\udcff]+)/u;

export function rawBytes(text: string): Buffer {
  if (text.isWellFormed()) {
    return Buffer.from(text);
  }
  // The parts that were captured have the odd indices.
  const parts = text.split(badBytes).map((part, index) => {
    return index % 2 === 0 ? Buffer.from(part) : Buffer.from(Array.from(part, (half) => half.charCodeAt(0) - 0xdc00));
  });
  return Buffer.concat(parts);
}

/** What a call of `node:fs` takes for a path. */
export function rawPath(text: string): string | Buffer {
  return text.isWellFormed() ? text : rawBytes(text);
}

/** What a native function takes for a C string. */
export function rawCString(text: string): string | Buffer {
  return text.isWellFormed() ? text : Buffer.concat([rawBytes(text), Buffer.of(0)]);
}
