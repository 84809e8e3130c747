/**
 * Text from outside (session ids, paths, file names, server texts) made safe to show: one line, nothing a terminal
 * obeys, nothing that turns the reading direction around (threat 10: log and terminal injection).
 */

export { goQuote } from '../../platform/go-quote.ts';

/**
 * Control characters (C0, DEL, C1), marks and switches of the reading direction, line and paragraph separators, and
 * halves of surrogate pairs, which no encoding can carry.
 */
const unsafe =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Most texts: nothing in them needs a closer look. */
const plain = /^[ -~]*$/;

/** Enough for every line we write ourselves; a session id or an argument of a megabyte must not fill the log. */
export const printableLimit = 4096;

/**
 * Escapes what must not reach a terminal or a log as `\xNN` (below U+0100) or `\u{...}`; everything else stays, so plain
 * text comes back unchanged. A backslash stays too: Windows paths are full of them.
 * @param limit longest result in characters (UTF-16 units); a longer text is cut and the cut names the full length
 */
export function printable(text: string, limit: number = printableLimit): string {
  if (text.length <= limit && plain.test(text)) {
    return text;
  }
  // Cut first: the escapes make a text up to eight times longer, and a huge one need not be escaped to be dropped.
  const head = cut(text, limit);
  const safe = head.replace(unsafe, escaped);
  if (head === text && safe.length <= limit) {
    return safe;
  }
  return `${cut(safe, limit)}\u2026 (${text.length} characters)`;
}

/** At most `limit` units; a character of two units is not torn apart. */
function cut(text: string, limit: number): string {
  if (text.length <= limit) {
    return text;
  }
  const head = text.slice(0, limit);
  return /[\ud800-\udbff]$/.test(head) ? head.slice(0, -1) : head;
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}
