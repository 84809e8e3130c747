/** Output of a program on a terminal: shown, not obeyed. */
import { StringDecoder } from 'node:string_decoder';

/** What a terminal obeys, but for line ends and tabs, and what turns the reading direction around (threat 10). */
const obeyed = /(?!\n|\t)[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** `\r\n` is a line end like any other. */
const lineEnd = /\r\n/g;

/** Makes the pieces of one stream harmless; a character may be torn between two of them. */
export class HarmlessText {
  readonly #decoder = new StringDecoder('utf8');
  #held = '';

  /** @returns what can be shown by now */
  take(bytes: Uint8Array): string {
    const text = this.#held + this.#decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    // Half a line end.
    this.#held = text.endsWith('\r') ? '\r' : '';
    return harmless(text.slice(0, text.length - this.#held.length));
  }

  end(): string {
    const rest = harmless(this.#held + this.#decoder.end());
    this.#held = '';
    return rest;
  }
}

function harmless(text: string): string {
  return text.replace(lineEnd, '\n').replace(obeyed, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}
