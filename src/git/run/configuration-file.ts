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
  | { readonly tooMany: true };

const byteOrderMark = '\u00ef\u00bb\u00bf';

/** @param most settings beyond which the rest is not read */
export function parseConfiguration(bytes: Buffer, most: number): ParsedConfiguration {
  return new Reader(bytes.toString('latin1')).read(most);
}

/** Thrown at the place where git gives up. */
class BadLine extends Error {}

class Reader {
  readonly #text: string;
  #at = 0;
  #line = 1;
  #isOver = false;

  constructor(text: string) {
    this.#text = text;
  }

  read(most: number): ParsedConfiguration {
    const settings: Setting[] = [];
    try {
      for (const setting of this.#settings()) {
        if (settings.length === most) {
          return { tooMany: true };
        }
        settings.push(setting);
      }
      return { settings };
    } catch (error) {
      if (error instanceof BadLine) {
        return { badLine: this.#line };
      }
      throw error;
    }
  }

  *#settings(): Generator<Setting> {
    if (this.#text.startsWith(byteOrderMark)) {
      this.#at = byteOrderMark.length;
    }
    let section = '';
    let inComment = false;
    for (;;) {
      const c = this.#next();
      if (c === '\n') {
        if (this.#isOver) {
          return;
        }
        inComment = false;
      } else if (inComment || isSpace(c)) {
        // Nothing begins here.
      } else if (c === '#' || c === ';') {
        inComment = true;
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
    let name = '';
    for (;;) {
      const c = this.#next();
      if (this.#isOver || (c === ']' && name === '')) {
        throw new BadLine();
      }
      if (c === ']') {
        return name;
      }
      if (isSpace(c)) {
        return `${name}.${this.#subsection(c)}`;
      }
      if (!isKeyCharacter(c) && c !== '.') {
        throw new BadLine();
      }
      name += lowerCase(c);
    }
  }

  /** Behind the first space of `[section "subsection"]`. */
  #subsection(space: string): string {
    for (let c = space; ; ) {
      this.#refuseNewline(c);
      c = this.#next();
      if (isSpace(c)) {
        continue;
      }
      if (c !== '"') {
        throw new BadLine();
      }
      break;
    }
    let name = '';
    for (let c = this.#next(); c !== '"'; c = this.#next()) {
      this.#refuseNewline(c);
      if (c === '\\') {
        c = this.#next();
        this.#refuseNewline(c);
      }
      name += c;
    }
    if (this.#next() !== ']') {
      throw new BadLine();
    }
    return name;
  }

  #setting(section: string, first: string): Setting {
    let name = lowerCase(first);
    let c = this.#next();
    while (!this.#isOver && isKeyCharacter(c)) {
      name += lowerCase(c);
      c = this.#next();
    }
    while (c === ' ' || c === '\t') {
      c = this.#next();
    }
    const key = upToNul(section + name);
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
    let space = '';
    let inQuotes = false;
    let inComment = false;
    for (;;) {
      const c = this.#next();
      if (c === '\n') {
        if (inQuotes) {
          this.#line--;
          throw new BadLine();
        }
        return parts.join('');
      }
      if (inComment) {
        continue;
      }
      if (!inQuotes && isSpace(c)) {
        space += parts.length > 0 ? c : '';
        continue;
      }
      if (!inQuotes && (c === ';' || c === '#')) {
        inComment = true;
        continue;
      }
      if (space !== '') {
        parts.push(space);
        space = '';
      }
      if (c === '\\') {
        parts.push(this.#escaped());
      } else if (c === '"') {
        inQuotes = !inQuotes;
      } else {
        parts.push(c);
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
      this.#line--;
      throw new BadLine();
    }
  }

  /** The next character; the end of the file reads as a last newline. */
  #next(): string {
    let c = this.#text[this.#at++];
    if (c === '\r' && this.#text[this.#at] === '\n') {
      this.#at++;
      c = '\n';
    }
    if (c === undefined) {
      this.#isOver = true;
      c = '\n';
    }
    if (c === '\n') {
      this.#line++;
    }
    return c;
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

/** White space as git's own table has it, which lacks vertical tab and form feed. */
function isSpace(c: string): boolean {
  return c === ' ' || c === '\t' || c === '\n' || c === '\r';
}

function isKeyCharacter(c: string): boolean {
  return /[A-Za-z0-9-]/.test(c);
}

/** Of ASCII letters only: what else a name holds are bytes. */
function lowerCase(c: string): string {
  return c >= 'A' && c <= 'Z' ? c.toLowerCase() : c;
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
