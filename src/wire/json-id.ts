/** The `id` of a request, decoded and written again (spec wire.md §4.4). */
import { ascii, type JsonScanner } from './json-scanner.ts';
import { encodeNumber, encodeString } from './json-writer.ts';

/** An array or object being written again. */
interface Level {
  /** Members so far, by name; `undefined` for an array. */
  readonly members: Map<string, string> | undefined;
  /** Name of the member being read. */
  key: string;
  /** Elements so far, comma-separated. */
  elements: string;
}

/**
 * Reads the value at the scanner's position, which has been scanned before, and moves past it.
 * Not recursive: an id may be as deep as a line. Nested text is put together with `+` and never joined level by level,
 * so a long text inside many levels is not copied once for each.
 * @returns canonical JSON; `undefined` when a number in it overflows a double
 */
export function canonicalId(scanner: JsonScanner): string | undefined {
  const levels: Level[] = [];
  for (;;) {
    let text: string | undefined;
    const first = scanner.peek();
    if (first === ascii.openBrace || first === ascii.openBracket) {
      const isObject = first === ascii.openBrace;
      scanner.position++;
      if (!scanner.take(isObject ? ascii.closeBrace : ascii.closeBracket)) {
        levels.push({ members: isObject ? new Map() : undefined, key: isObject ? readKey(scanner) : '', elements: '' });
        continue;
      }
      text = isObject ? '{}' : '[]';
    } else {
      text = canonicalScalar(scanner);
      if (text === undefined) {
        return undefined;
      }
    }

    // A value is complete: it goes into its level, as does every level that ends with it.
    for (;;) {
      const level = levels.at(-1);
      if (level === undefined) {
        return text;
      }
      if (level.members === undefined) {
        level.elements += level.elements === '' ? text : `,${text}`;
      } else {
        level.members.set(level.key, text);
      }
      if (scanner.take(ascii.comma)) {
        if (level.members === undefined) {
          scanner.skipSpace();
        } else {
          level.key = readKey(scanner);
        }
        break;
      }
      // Neither white space nor a comma: the closing bracket.
      scanner.position++;
      levels.pop();
      text = level.members === undefined ? `[${level.elements}]` : sortedObject(level.members);
    }
  }
}

function readKey(scanner: JsonScanner): string {
  scanner.scanKey();
  return scanner.text();
}

function canonicalScalar(scanner: JsonScanner): string | undefined {
  const start = scanner.position;
  scanner.scanScalar();
  const first = scanner.bytes[start] ?? 0;
  if (first === ascii.quote) {
    return encodeString(scanner.text());
  }
  const text = scanner.bytes.toString('latin1', start, scanner.position);
  if (first !== ascii.minus && (first < ascii.zero || first > ascii.nine)) {
    return text;
  }
  // Up to fifteen digits a double keeps as they are; -0 stays -0.
  if (scanner.numberIsInteger && text.length <= 15) {
    return text;
  }
  const value = Number(text);
  return Number.isFinite(value) ? encodeNumber(value) : undefined;
}

function sortedObject(members: ReadonlyMap<string, string>): string {
  let text = '';
  for (const key of sortedAsUtf8([...members.keys()])) {
    text += `${text === '' ? '' : ','}${encodeString(key)}:${members.get(key)}`;
  }
  return `{${text}}`;
}

/** Keys without surrogates, and without the few characters behind them, are in the order of their units. */
function sortedAsUtf8(keys: string[]): string[] {
  return keys.some((key) => outOfOrder.test(key)) ? keys.sort(compareAsUtf8) : keys.sort();
}

const outOfOrder = /[\ud800-\uffff]/;

/** The order of the UTF-8 bytes, which is that of the code points: surrogates come after U+E000–U+FFFF. */
function compareAsUtf8(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const a = left.charCodeAt(index);
    const b = right.charCodeAt(index);
    if (a !== b) {
      const aIsSurrogate = a >= 0xd800 && a <= 0xdfff;
      const bIsSurrogate = b >= 0xd800 && b <= 0xdfff;
      return aIsSurrogate === bIsSurrogate
        ? a - b
        : aIsSurrogate
          ? b >= 0xe000
            ? 1
            : a - b
          : a >= 0xe000
            ? -1
            : a - b;
    }
  }
  return left.length - right.length;
}
