/** The command line, read by the rules of Go's flag package (spec modes.md §1). */
import { goQuote, printable } from '../base/printable.ts';
import type { Profile } from '../wire/profile.ts';
import { type ModeName, modeNames } from './mode-names.ts';
import { type Option, type OptionMode, type OptionValues, optionNamed, optionNames, options } from './options.ts';

export interface ParsedFlags {
  readonly outcome: 'parsed';
  /** The flags that occurred, also those with their default value; of a flag given twice the last value. */
  readonly given: Partial<OptionValues>;
  /** What follows the first word that is no flag, or `--`. */
  readonly rest: readonly string[];
}

export type FlagsResult =
  | ParsedFlags
  /** `-h` or `-help`. */
  | { readonly outcome: 'help' }
  /** `message` is the contract's line; the usage text follows it on stderr, exit code 2. */
  | { readonly outcome: 'failed'; readonly message: string };

/** @param words the command line after the program's name */
export function parseFlags(words: readonly string[]): FlagsResult {
  const given: Record<string, unknown> = {};
  let at = 0;
  for (;;) {
    const word = words[at];
    if (word === undefined || word.length < 2 || !word.startsWith('-')) {
      break;
    }
    at++;
    if (word === '--') {
      break;
    }

    const text = word.slice(word.startsWith('--') ? 2 : 1);
    if (text.startsWith('-') || text.startsWith('=')) {
      return failed(`bad flag syntax: ${printable(word)}`);
    }
    const equals = text.indexOf('=');
    const name = equals < 0 ? text : text.slice(0, equals);
    const attached = equals < 0 ? undefined : text.slice(equals + 1);

    const known = optionNamed(name);
    if (known === undefined || !options[known].flag) {
      if (name === 'h' || name === 'help') {
        return { outcome: 'help' };
      }
      return failed(`flag provided but not defined: -${printable(name)}`);
    }
    const row: Option<unknown> = options[known];
    const isSwitch = row.kind.placeholder === '';
    const value = attached ?? (isSwitch ? 'true' : words[at++]);
    if (value === undefined) {
      return failed(`flag needs an argument: -${name}`);
    }
    const read = row.kind.fromCommandLine(value);
    if (read === undefined) {
      return failed(
        isSwitch
          ? `invalid boolean value ${goQuote(value)} for -${name}: ${row.kind.refusal}`
          : `invalid value ${goQuote(value)} for flag -${name}: ${row.kind.refusal}`,
      );
    }
    given[name] = read;
  }
  return { outcome: 'parsed', given: given as Partial<OptionValues>, rest: words.slice(at) };
}

function failed(message: string): FlagsResult {
  return { outcome: 'failed', message };
}

/** The mode that wins; `undefined` when none is asked for. `-probe-cli` counts in some profiles only. */
export function selectMode(given: Partial<OptionValues>, profile: Profile): ModeName | undefined {
  return modeNames.find((name) =>
    name === 'probe-cli' ? profile.modes.probeCli && (given[name] ?? '') !== '' : given[name] === true,
  );
}

/** The line for a command line without mode; exit code 2 and no usage text. */
export function noModeText(profile: Profile): string {
  const probe = profile.modes.probeCli ? '--probe-cli/' : '';
  return `claustrum: one of --version/--install/${probe}--serve/--bridge/--stop is required`;
}

const headings: Record<OptionMode, string> = {
  select: 'Modes, one of:',
  all: 'With every mode:',
  serve: 'With -serve (most are keys of holdfast.conf too):',
  install: 'With -install:',
  version: 'With -version:',
};

/** @param programName as the user typed it */
export function usage(programName: string): string {
  const lines = [`Usage of ${printable(programName)}:`];
  for (const [mode, heading] of Object.entries(headings)) {
    const names = optionNames.filter((name) => options[name].mode === mode && options[name].flag);
    if (names.length === 0) {
      continue;
    }
    lines.push('', heading);
    for (const name of names) {
      const row: Option<unknown> = options[name];
      const flag = row.kind.placeholder === '' ? `-${name}` : `-${name} <${row.kind.placeholder}>`;
      lines.push(`  ${flag}`, `      ${row.help}${defaultNote(row)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function defaultNote({ initial }: Option<unknown>): string {
  return typeof initial === 'number' && initial > 0 ? ` (default ${initial})` : '';
}
