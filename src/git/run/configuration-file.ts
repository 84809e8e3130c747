/**
 * Reads the text of a configuration file as git does (git-config(1) "Syntax"). Nothing is followed and nothing is asked of
 * git: what is here is what this one file says. Names and values are bytes, one character each.
 */

/** One setting of a file. */
export interface Setting {
  /** `section.variable` or `section.<subsection>.variable`; all but the subsection in lower case. */
  readonly key: string;
  /** `undefined` for a variable without `=`, which means true. */
  readonly value: string | undefined;
}

export type ParsedConfiguration =
  | { readonly settings: readonly Setting[] }
  /** Where git stops with `bad config line <n>`. */
  | { readonly badLine: number }
  /** Which limit was reached. */
  | { readonly tooMany: keyof ParseLimits };

export interface ParseLimits {
  readonly settings: number;
  /** Names, signs and pieces of values; comments too. */
  readonly parts: number;
  /** Of all names together: a name counts with its section each time. */
  readonly nameBytes: number;
}

const byteOrderMark = '\u00ef\u00bb\u00bf';

/** Stops at a limit, and leaves the rest unread. */
export function parseConfiguration(bytes: Buffer, limits: ParseLimits): ParsedConfiguration {
  return new Reader(bytes.toString('latin1').replaceAll('\r\n', '\n'), limits).read();
}

/** Thrown at the place where git gives up. */
class BadLine extends Error {}
class TooManyParts extends Error {}

/** Runs of characters that are taken in one go. White space is what git takes for it: no vertical tab, no form feed. */
const runs = {
  blank: /[ \t\n\r]+/y,
  space: /[ \t\r]+/y,
  blanksAndTabs: /[ \t]+/y,
  comment: /[^\n]+/y,
  section: /[A-Za-z0-9.-]+/y,
  subsection: /[^"\\\n]+/y,
  variable: /[A-Za-z0-9-]+/y,
  plain: /[^ \t\r\n"\\;#]+/y,
  inQuotes: /[^"\\\n]+/y,
} as const;

class Reader {
  readonly #text: string;
  readonly #limits: ParseLimits;
  #at = 0;
  #parts = 0;

  constructor(text: string, limits: ParseLimits) {
    this.#text = text;
    this.#limits = limits;
  }

  read(): ParsedConfiguration {
    const limits = this.#limits;
    const settings: Setting[] = [];
    let nameBytes = 0;
    try {
      for (const setting of this.#settings()) {
        nameBytes += setting.key.length;
        if (settings.length === limits.settings) {
          return { tooMany: 'settings' };
        }
        if (nameBytes > limits.nameBytes) {
          return { tooMany: 'nameBytes' };
        }
        settings.push(setting);
      }
      return { settings };
    } catch (error) {
      if (error instanceof BadLine) {
        return { badLine: this.#line() };
      }
      if (error instanceof TooManyParts) {
        return { tooMany: 'parts' };
      }
      throw error;
    }
  }

  *#settings(): Generator<Setting> {
    if (this.#text.startsWith(byteOrderMark)) {
      this.#at = byteOrderMark.length;
    }
    let section = '';
    for (;;) {
      this.#run(runs.blank);
      if (this.#at >= this.#text.length) {
        return;
      }
      const c = this.#next();
      if (c === '#' || c === ';') {
        this.#run(runs.comment);
      } else if (c === '[') {
        section = `${this.#section()}.`;
      } else if (/[A-Za-z]/.test(c)) {
        yield this.#setting(section, c);
      } else {
        throw new BadLine();
      }
    }
  }

  /** Behind `[`. */
  #section(): string {
    const name = lowerCase(this.#run(runs.section));
    const c = this.#next();
    if (c === ']' && name !== '') {
      return name;
    }
    if (this.#isOver || !isSpace(c)) {
      throw new BadLine();
    }
    this.#refuseNewline(c);
    this.#run(runs.space);
    const quote = this.#next();
    this.#refuseNewline(quote);
    if (quote !== '"') {
      throw new BadLine();
    }
    return `${name}.${this.#subsection()}`;
  }

  /** Behind the first quote of `[section "subsection"]`. */
  #subsection(): string {
    const parts: string[] = [];
    for (;;) {
      parts.push(this.#run(runs.subsection));
      let c = this.#next();
      if (c === '"') {
        break;
      }
      this.#refuseNewline(c);
      c = this.#next();
      this.#refuseNewline(c);
      parts.push(c);
    }
    if (this.#next() !== ']') {
      throw new BadLine();
    }
    return parts.join('');
  }

  #setting(section: string, first: string): Setting {
    const key = upToNul(section + lowerCase(first + this.#run(runs.variable)));
    this.#run(runs.blanksAndTabs);
    const c = this.#next();
    if (c === '\n') {
      return { key, value: undefined };
    }
    if (c !== '=') {
      throw new BadLine();
    }
    return { key, value: upToNul(this.#value()) };
  }

  /** Behind `=`. Space at both ends does not count, a comment ends the value, and a backslash joins lines. */
  #value(): string {
    const parts: string[] = [];
    let isEmpty = true;
    /** Counts only when something other than a comment follows. */
    let space = '';
    let inQuotes = false;
    const add = (part: string) => {
      parts.push(space, part);
      isEmpty &&= space === '' && part === '';
      space = '';
    };
    for (;;) {
      const run = this.#run(inQuotes ? runs.inQuotes : runs.plain);
      if (run !== '') {
        add(run);
      }
      const c = this.#next();
      if (c === '\n') {
        if (inQuotes) {
          this.#refuseNewline(c);
        }
        return parts.join('');
      }
      if (c === '\\') {
        add(this.#escaped());
      } else if (c === '"') {
        add('');
        inQuotes = !inQuotes;
      } else if (c === ';' || c === '#') {
        this.#run(runs.comment);
        this.#next();
        return parts.join('');
      } else {
        const more = c + this.#run(runs.space);
        space += isEmpty ? '' : more;
      }
    }
  }

  #escaped(): string {
    const c = this.#next();
    const meant = escapes.get(c);
    if (meant === undefined) {
      throw new BadLine();
    }
    return meant;
  }

  #refuseNewline(c: string): void {
    if (c === '\n') {
      this.#at--;
      throw new BadLine();
    }
  }

  /** The longest run from here on; `''` when the next character does not belong to it. */
  #run(characters: RegExp): string {
    this.#count();
    characters.lastIndex = this.#at;
    const found = characters.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  /** The next character; the end of the file reads as a last newline. */
  #next(): string {
    this.#count();
    const c = this.#text[this.#at++];
    return c ?? '\n';
  }

  #count(): void {
    if (++this.#parts > this.#limits.parts) {
      throw new TooManyParts();
    }
  }

  get #isOver(): boolean {
    return this.#at > this.#text.length;
  }

  /** The line git names when it stops here: it counts the end of the file as the end of a line. */
  #line(): number {
    const newlines = this.#text.slice(0, this.#at).split('\n').length - 1;
    return 1 + newlines + (this.#isOver ? 1 : 0);
  }
}

const escapes: ReadonlyMap<string, string> = new Map([
  ['\n', ''],
  ['t', '\t'],
  ['b', '\b'],
  ['n', '\n'],
  ['\\', '\\'],
  ['"', '"'],
]);

function isSpace(c: string): boolean {
  return c === ' ' || c === '\t' || c === '\n' || c === '\r';
}

/** Of ASCII letters only: what else a name holds are bytes. */
function lowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** git keeps these texts as C strings. */
function upToNul(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

/** The text of a file with these settings. @returns bytes as characters */
export function writeConfiguration(settings: readonly Setting[]): string {
  const lines: string[] = [];
  let open: string | undefined;
  for (const { key, value } of settings) {
    const { section, subsection, variable } = partsOf(key);
    const header =
      subsection === undefined ? `[${section}]` : `[${section} "${subsection.replace(/[\\"]/g, String.raw`\$&`)}"]`;
    if (header !== open) {
      lines.push(header);
      open = header;
    }
    lines.push(value === undefined ? `\t${variable}` : `\t${variable} = ${quoted(value)}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

export interface KeyParts {
  readonly section: string;
  /** `undefined` for a key of two parts. */
  readonly subsection: string | undefined;
  readonly variable: string;
}

/** The section ends at the first dot and the variable begins behind the last. */
export function partsOf(key: string): KeyParts {
  const first = key.indexOf('.');
  const last = key.lastIndexOf('.');
  return {
    section: key.slice(0, Math.max(first, 0)),
    subsection: first === last ? undefined : key.slice(first + 1, last),
    variable: key.slice(last + 1),
  };
}

function quoted(value: string): string {
  const escaped = value
    .replace(/[\\"]/g, String.raw`\$&`)
    .replaceAll('\n', String.raw`\n`)
    .replaceAll('\t', String.raw`\t`)
    .replaceAll('\b', String.raw`\b`);
  return `"${escaped}"`;
}
