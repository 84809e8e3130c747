/**
 * Secrets are redacted by value, in whatever text they turn up: log, wire log, errors, printed settings (design
 * decision 17).
 */
import { atOnce } from '../../platform/steps.ts';

/** As in `wire/steps.ts`, which this folder may not import. */
type Steps<T> = Generator<undefined, T, undefined>;

const redacted = '[redacted]';

/** A shorter value protects nothing, and hiding it everywhere would make the log unreadable. */
const shortestSecret = 4;

/** How often a text is unescaped: JSON in a string of JSON in a string. */
const mostLevels = 4;

/** An escape makes two parts. */
const partsOfStep = 4096;

export class Secrets {
  /** Longest first: a secret that contains another one is hidden whole. */
  #values: string[] = [];

  /**
   * Everything that goes through {@link hide} from now on is free of `secret`, also as it looks inside a JSON string.
   */
  add(secret: string): void {
    for (const value of [secret, JSON.stringify(secret).slice(1, -1)]) {
      if (value.length >= shortestSecret && !this.#values.includes(value)) {
        this.#values.push(value);
      }
    }
    this.#values.sort((a, b) => b.length - a.length);
  }

  /**
   * `text` with `[redacted]` in place of every secret, also one that is spelled with escapes of JSON or JavaScript
   * (`\u0041`, `\x41`, `\/`), wholly or in part, once or several times over, in JSON or in anything else.
   */
  hide(text: string): string {
    return atOnce(this.hideInSteps(text));
  }

  /** The same for a text of a megabyte, which takes a fifth of a second when it is full of escapes. */
  *hideInSteps(text: string): Steps<string> {
    let safe = text;
    for (const value of this.#values) {
      if (safe.includes(value)) {
        safe = safe.replaceAll(value, redacted);
      }
    }
    return this.#values.length === 0 || !safe.includes('\\') ? safe : yield* this.#hideEscaped(safe);
  }

  *#hideEscaped(text: string): Steps<string> {
    let spelled: Unescaped = { text, starts: undefined };
    const found: [start: number, end: number][] = [];
    for (let level = 0; level < mostLevels && spelled.text.includes('\\'); level++) {
      spelled = yield* withoutEscapes(spelled);
      for (const value of this.#values) {
        for (let at = spelled.text.indexOf(value); at >= 0; at = spelled.text.indexOf(value, at + value.length)) {
          found.push([startOf(spelled, at), startOf(spelled, at + value.length)]);
        }
      }
    }
    return found.length === 0 ? text : withoutRanges(text, found);
  }
}

/** A text whose escapes were resolved. */
interface Unescaped {
  readonly text: string;
  /** For each character and for the end: where its spelling begins in the first text. `undefined`: at the same place. */
  readonly starts: Uint32Array | undefined;
}

function startOf({ starts }: Unescaped, at: number): number {
  return starts === undefined ? at : (starts[at] ?? 0);
}

const escapes = /\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(["\\/'bfnrt]))/g;
const controls: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** One pass over the text, whatever stands in it. */
function* withoutEscapes(spelled: Unescaped): Steps<Unescaped> {
  const { text } = spelled;
  const starts = new Uint32Array(text.length + 1);
  const parts: string[] = [];
  let length = 0;
  let from = 0;
  const take = (part: string, first: number): void => {
    for (let index = 0; index < part.length; index++) {
      starts[length++] = startOf(spelled, first + index);
    }
    parts.push(part);
  };
  for (const match of text.matchAll(escapes)) {
    const [whole, unicode, hex, one = ''] = match;
    take(text.slice(from, match.index), from);
    const code = unicode ?? hex;
    take(code === undefined ? (controls[one] ?? one) : String.fromCharCode(Number.parseInt(code, 16)), match.index);
    from = match.index + whole.length;
    if (parts.length % partsOfStep === 0) {
      yield;
    }
  }
  take(text.slice(from), from);
  starts[length] = startOf(spelled, text.length);
  return { text: parts.join(''), starts };
}

function withoutRanges(text: string, ranges: [start: number, end: number][]): string {
  ranges.sort(([a], [b]) => a - b);
  const parts: string[] = [];
  let from = 0;
  for (const [start, end] of ranges) {
    if (start >= from) {
      parts.push(text.slice(from, start), redacted);
    }
    from = Math.max(from, end);
  }
  return parts.join('') + text.slice(from);
}
