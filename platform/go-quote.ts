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

/** What Go does not print as it is. */
const quotedCharacters = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]|["\\]/gu;

/** Go's strconv.Quote. */
export function goQuote(text: string): string {
  return `"${text.replace(quotedCharacters, quoted)}"`;
}

function quoted(character: string): string {
  const named = namedEscapes[character];
  if (named !== undefined) {
    return named;
  }
  const point = character.codePointAt(0) ?? 0;
  if (point >= 0xdc80 && point <= 0xdcff) {
    // A byte that is not UTF-8 (raw-text.ts).
    return `\\x${(point - 0xdc00).toString(16)}`;
  }
  if (point < 0x80) {
    return `\\x${point.toString(16).padStart(2, '0')}`;
  }
  return point < 0x10000 ? `\\u${point.toString(16).padStart(4, '0')}` : `\\U${point.toString(16).padStart(8, '0')}`;
}
