/** Go's quoting, which some error texts of the contract carry. */

const namedEscapes: Record<string, string> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};

/** Go's strconv.Quote. */
export function goQuote(text: string): string {
  let quoted = '"';
  for (const character of text) {
    const named = namedEscapes[character];
    const point = character.codePointAt(0) ?? 0;
    if (named !== undefined) {
      quoted += named;
    } else if (/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(character)) {
      quoted += character;
    } else if (point >= 0xdc80 && point <= 0xdcff) {
      // A byte that is not UTF-8 (raw-text.ts).
      quoted += `\\x${(point - 0xdc00).toString(16)}`;
    } else if (point < 0x80) {
      quoted += `\\x${point.toString(16).padStart(2, '0')}`;
    } else if (point < 0x10000) {
      quoted += `\\u${point.toString(16).padStart(4, '0')}`;
    } else {
      quoted += `\\U${point.toString(16).padStart(8, '0')}`;
    }
  }
  return `${quoted}"`;
}
