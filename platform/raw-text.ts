/**
 * Bytes of the OS as text that loses nothing. Environments, paths and command lines of POSIX are bytes, nearly always UTF-8.
 * A byte that is not part of valid UTF-8 becomes a lone surrogate U+DC80–U+DCFF that still names it (the rule of
 * src/wire/utf8.ts), so that such text can be compared, searched and put together like any other. Whoever hands it to the OS
 * turns it back; text that is well formed is plain UTF-8.
 */
import { isUtf8 } from 'node:buffer';

export function rawText(bytes: Buffer): string {
  if (isUtf8(bytes)) {
    return bytes.toString('utf8');
  }
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const length = characterBytes(bytes, at);
    text += length === 0 ? String.fromCharCode(0xdc00 + bytes.readUInt8(at)) : bytes.toString('utf8', at, at + length);
    at += length === 0 ? 1 : length;
  }
  return text;
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

export function rawBytes(text: string): Buffer {
  if (text.isWellFormed()) {
    return Buffer.from(text);
  }
  const pieces: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    pieces.push(code >= 0xdc80 && code <= 0xdcff ? Buffer.of(code - 0xdc00) : Buffer.from(character));
  }
  return Buffer.concat(pieces);
}

/** What a call of `node:fs` takes for a path. */
export function rawPath(text: string): string | Buffer {
  return text.isWellFormed() ? text : rawBytes(text);
}

/** What a native function takes for a C string. */
export function rawCString(text: string): string | Buffer {
  return text.isWellFormed() ? text : Buffer.concat([rawBytes(text), Buffer.of(0)]);
}
