/** JSON text in the wire's exact spelling (spec wire.md §4). */
import { JsonText, type ResultObject, type ResultValue } from './json.ts';
import { decodeBytes } from './utf8.ts';

/** What a string may hold that is not written as it is. Surrogates are here because a lone one is escaped. */
const special = /["\\<>&\u0000-\u001f\u2028\u2029\ud800-\udfff]/;

/** What JSON.stringify leaves as it is. */
const escapedBesides = [
  ['<', /</g, '\\u003c'],
  ['>', />/g, '\\u003e'],
  ['&', /&/g, '\\u0026'],
  ['\u2028', /\u2028/g, '\\u2028'],
  ['\u2029', /\u2029/g, '\\u2029'],
] as const;

/**
 * The string as a JSON literal (spec wire.md §4.1). A lone surrogate, which is how a byte that is not UTF-8 travels
 * inside the daemon (`decodeBytes`), becomes the six characters `\ufffd`; a U+FFFD of the text itself stays raw.
 */
export function encodeString(text: string): string {
  if (!special.test(text)) {
    return `"${text}"`;
  }
  let escaped = JSON.stringify(text);
  for (const [character, every, written] of escapedBesides) {
    // The text may be a sixth of what is written, so it is what is asked.
    if (text.includes(character)) {
      escaped = escaped.replace(every, written);
    }
  }
  return text.isWellFormed() ? escaped : replaceSurrogateEscapes(escaped);
}

/**
 * JSON.stringify writes lone surrogates as escapes, which may follow an escaped backslash whose letters look the same.
 * Those backslashes stand aside as U+0001, which JSON text never holds raw: a callback for each escape is too slow for binary files.
 */
function replaceSurrogateEscapes(literal: string): string {
  return literal
    .replace(/\\\\/g, '\u0001')
    .replace(/\\ud[0-9a-f]{3}/g, '\\ufffd')
    .replace(/\u0001/g, '\\\\');
}

/** Raw bytes, such as a file's content, as a JSON literal: one `\ufffd` for each byte that is not UTF-8. */
export function encodeBytes(bytes: Buffer): string {
  return encodeString(decodeBytes(bytes));
}

/**
 * A double or a range-checked integer (spec wire.md §4.2).
 * @throws RangeError for NaN and the infinities, which JSON cannot say
 */
export function encodeNumber(value: number): string {
  if (!Number.isFinite(value)) {
    throw new RangeError(`${value} has no JSON form`);
  }
  return Object.is(value, -0) ? '-0' : String(value);
}

export function encodeResult(result: ResultObject): string {
  let text = '';
  for (const key of Object.keys(result)) {
    const value = result[key];
    if (value !== undefined) {
      text += `${text === '' ? '' : ','}${encodeString(key)}:${encodeValue(value)}`;
    }
  }
  return `{${text}}`;
}

function encodeValue(value: ResultValue): string {
  switch (typeof value) {
    case 'string':
      return encodeString(value);
    case 'number':
      return encodeNumber(value);
    case 'bigint':
    case 'boolean':
      return String(value);
  }
  if (value instanceof JsonText) {
    return value.text;
  }
  return isList(value) ? `[${value.map(encodeValue).join(',')}]` : encodeResult(value);
}

/** `Array.isArray` does not narrow readonly arrays. */
function isList(value: ResultObject | readonly ResultValue[]): value is readonly ResultValue[] {
  return Array.isArray(value);
}

/** What stands around the text of a result. @param idText as for `resultFrame` */
export function aroundResult(idText: string): readonly [before: string, after: string] {
  return [`{"jsonrpc":"2.0","id":${idText},"result":`, '}\n'];
}

/** @param idText the id in canonical JSON; `'null'` when there is none */
export function resultFrame(idText: string, resultText: string): string {
  return `{"jsonrpc":"2.0","id":${idText},"result":${resultText}}\n`;
}

/** @param idText the id in canonical JSON; `'null'` when there is none or the line could not be read */
export function errorFrame(idText: string, code: number, message: string): string {
  return `{"jsonrpc":"2.0","id":${idText},"error":{"code":${code},"message":${encodeString(message)}}}\n`;
}
