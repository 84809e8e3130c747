/**
 * Placeholders of the conformance cases (test/conformance/README.md), for bytes. Bytes are carried as latin1 text, so that
 * regular expressions see one character a byte.
 */

export type Part =
  | { readonly literal: string }
  | { readonly pattern: string; readonly name: string; readonly bind: string | undefined };

const placeholder = /\{\{([A-Z0-9_]+)(?::((?:[^{}]|\{(?!\{)|\}(?!\}))*?))?\}\}/g;

const stringBody = String.raw`(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-f]{4})*`;
const patterns: Readonly<Record<string, string>> = {
  ANY_STRING: stringBody,
  INT: '-?(?:0|[1-9][0-9]*)',
  PID: '[1-9][0-9]*',
  SEQ: '[1-9][0-9]*',
  MS: '[1-9][0-9]{12}',
  NUM: String.raw`-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?`,
  HEX32: '[0-9a-f]{32}',
  RFC3339: String.raw`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})`,
};

const hourMs = 3_600_000;

export const toBytes = (text: string): string => Buffer.from(text).toString('latin1');

export class Scope {
  /** Values bound by earlier frames and fixtures. */
  readonly values = new Map<string, string>();
  readonly lastSeq = new Map<string, number>();
  readonly #fixed: Readonly<Record<string, string>>;
  readonly #features: ReadonlySet<string>;

  constructor(fixed: Readonly<Record<string, string>>, features: ReadonlySet<string>) {
    this.#fixed = fixed;
    this.#features = features;
  }

  /** The bytes of a text in which every placeholder has one value. */
  expand(text: string): string {
    return this.compile(text)
      .map((part) => {
        if ('literal' in part) {
          return part.literal;
        }
        throw new Error(`placeholder {{${part.name}}} has no single value and cannot be sent`);
      })
      .join('');
  }

  path(text: string): string {
    return Buffer.from(this.expand(text), 'latin1').toString();
  }

  compile(text: string): Part[] {
    const parts: Part[] = [];
    const add = (part: Part) => {
      const last = parts.at(-1);
      if ('literal' in part && last !== undefined && 'literal' in last) {
        parts[parts.length - 1] = { literal: last.literal + part.literal };
      } else if (!('literal' in part) || part.literal !== '') {
        parts.push(part);
      }
    };
    let at = 0;
    for (const match of text.matchAll(placeholder)) {
      add({ literal: toBytes(text.slice(at, match.index)) });
      add(this.#part(match[1] ?? '', match[2]));
      at = match.index + match[0].length;
    }
    add({ literal: toBytes(text.slice(at)) });
    return parts;
  }

  #part(name: string, argument: string | undefined): Part {
    const constant = this.#constant(name, argument);
    if (constant !== undefined) {
      return { literal: constant };
    }
    if (name === 'RE' && argument !== undefined) {
      return { pattern: toBytes(argument), name, bind: undefined };
    }
    const pattern = patterns[name];
    if (pattern === undefined) {
      throw new Error(`unknown placeholder {{${name}}}`);
    }
    const known = argument === undefined ? undefined : this.values.get(argument);
    return known === undefined ? { pattern, name, bind: argument } : { literal: known };
  }

  #constant(name: string, argument: string | undefined): string | undefined {
    if (argument === undefined) {
      const fixed = this.#fixed[name];
      return fixed === undefined ? undefined : toBytes(fixed);
    }
    if (name === 'REP') {
      const [count, ...unit] = argument.split(':');
      return toBytes(unit.join(':')).repeat(Number(count));
    }
    if (name === 'HEX') {
      return Buffer.from(argument, 'hex').toString('latin1');
    }
    if (name === 'LAST') {
      return String(this.lastSeq.get(argument) ?? 0);
    }
    if (name === 'VAR') {
      const value = this.values.get(argument);
      if (value === undefined) {
        throw new Error(`the case uses {{VAR:${argument}}} before it was set`);
      }
      return value;
    }
    if (name === 'IF') {
      const [feature = '', ...then] = argument.split('|');
      return this.#features.has(feature) ? this.expand(then.join('|')) : '';
    }
    return undefined;
  }

  /** `undefined` when the frame matches, and its values are kept; else what is wrong. */
  match(parts: readonly Part[], frame: string, nextSeq: number | undefined): string | undefined {
    const [only] = parts;
    if (only !== undefined && parts.length === 1 && 'literal' in only) {
      // Far too long for a regular expression, some of them.
      return only.literal === frame ? undefined : `want: ${show(parts)}\n    got:  ${printable(frame)}`;
    }
    const source = parts.map((part, index) =>
      'literal' in part ? escaped(part.literal) : `(?<g${index}>${part.pattern})`,
    );
    const found = new RegExp(`^${source.join('')}$`, 's').exec(frame);
    if (found === null) {
      return `want: ${show(parts)}\n    got:  ${printable(frame)}`;
    }
    const bound = new Map<string, string>();
    for (const [index, part] of parts.entries()) {
      if ('literal' in part) {
        continue;
      }
      const value = found.groups?.[`g${index}`] ?? '';
      if (part.name === 'SEQ' && nextSeq !== undefined && Number(value) !== nextSeq) {
        return `seq must be ${nextSeq}`;
      }
      if (part.name === 'MS' && Math.abs(Number(value) - Date.now()) > hourMs) {
        return 'the time must be near the present';
      }
      if (part.bind === undefined) {
        continue;
      }
      if ((bound.get(part.bind) ?? value) !== value) {
        return `must equal the earlier value of ${part.bind}`;
      }
      bound.set(part.bind, value);
    }
    for (const [name, value] of bound) {
      this.values.set(name, value);
    }
    return undefined;
  }
}

function show(parts: readonly Part[]): string {
  return parts.map((part) => ('literal' in part ? printable(part.literal) : `{{${part.name}}}`)).join('');
}

/** Bytes for a message. */
export function printable(bytes: string): string {
  const shown = bytes.length > 2_000 ? `${bytes.slice(0, 2_000)}…` : bytes;
  return shown.replace(/[^ -~…]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
