/** What can be typed next in a command line of holdfast, by the command table, the option table and what lives. */
import { options as flagTable, optionNames } from '../../config/options.ts';
import type { CommandRow, Completion, OptionRow } from '../commands/row.ts';
import { commandNames, commands } from '../commands/table.ts';

export interface Suggestion {
  readonly value: string;
  /** One line, or nothing. */
  readonly help: string;
}

/** `files`: whatever the shell offers for file names. */
export type Suggestions = readonly Suggestion[] | 'files';

/** Names that are known only when they are asked for. */
export interface Living {
  /** @param socket of `--socket`, where one was typed */
  sessions(socket: string | undefined): Promise<readonly Suggestion[]>;
  hosts(): Promise<readonly Suggestion[]>;
}

/** @param words of the line, the program's name first and last the one that is being typed, which may be empty */
export async function suggest(words: readonly string[], living: Living): Promise<Suggestions> {
  const [, first = '', ...rest] = words;
  if (words.length <= 2) {
    return beginningWith(first, first.startsWith('-') ? flags() : verbs());
  }
  const row = rowNamed(first);
  if (first === 'help') {
    return rest.length === 1 ? beginningWith(rest[0] ?? '', verbs()) : [];
  }
  return row === undefined ? 'files' : withinVerb(row, rest, living);
}

async function withinVerb(row: CommandRow, words: readonly string[], living: Living): Promise<Suggestions> {
  const current = words.at(-1) ?? '';
  const given = new Map<string, string>();
  let place = 0;
  for (let at = 0; at < words.length - 1; at++) {
    const word = words[at] ?? '';
    if (word === '--' || (row.passesThrough === true && !word.startsWith('-'))) {
      return 'files';
    }
    const sub = row.subcommands?.[word];
    if (sub !== undefined) {
      return withinVerb(sub, words.slice(at + 1), living);
    }
    if (!word.startsWith('-')) {
      place++;
      continue;
    }
    const option = optionNamed(row, word);
    if (option === undefined || !takesValue(option) || word.includes('=')) {
      continue;
    }
    if (at + 1 === words.length - 1) {
      return byCompletion(option.choices ?? option.completion, current, given.get('--socket'), living);
    }
    given.set(word, words[at + 1] ?? '');
    at++;
  }
  if (current.startsWith('-')) {
    return beginningWith(current, optionsOf(row));
  }
  if (row.subcommands !== undefined) {
    const subs = Object.entries(row.subcommands).map(([value, { summary }]) => ({ value, help: summary }));
    return beginningWith(current, subs);
  }
  const last = row.arguments.at(-1);
  const argument = row.arguments[place] ?? (last?.name.includes('...') === true ? last : undefined);
  return byCompletion(argument?.completion, current, given.get('--socket'), living);
}

async function byCompletion(
  completion: Completion | undefined,
  current: string,
  socket: string | undefined,
  living: Living,
): Promise<Suggestions> {
  switch (completion) {
    case undefined:
      return [];
    case 'file':
      return 'files';
    case 'verb':
      return beginningWith(current, verbs());
    case 'session':
      return beginningWith(current, await living.sessions(socket));
    case 'host':
      return beginningWith(current, await living.hosts());
    default:
      return beginningWith(
        current,
        completion.map((value) => ({ value, help: '' })),
      );
  }
}

function rowNamed(name: string): CommandRow | undefined {
  const known = commandNames.find((each) => each === name);
  return known === undefined ? undefined : commands[known];
}

function verbs(): Suggestion[] {
  return [
    ...commandNames.map((value) => ({ value: value as string, help: commands[value].summary })),
    { value: 'help', help: 'show how a verb is used' },
  ];
}

function flags(): Suggestion[] {
  return optionNames
    .filter((name) => flagTable[name].flag)
    .map((name) => ({ value: `-${name}`, help: flagTable[name].help }));
}

function optionsOf(row: CommandRow): Suggestion[] {
  return [
    ...row.options.map(({ flags: spelling, help }) => ({ value: longName(spelling), help })),
    { value: '--help', help: 'display help for command' },
  ];
}

function optionNamed(row: CommandRow, word: string): OptionRow | undefined {
  const [name] = word.split('=', 1);
  return row.options.find(({ flags: spelling }) => spelling.split(/[ ,]+/).includes(name ?? ''));
}

function longName(spelling: string): string {
  return /--[\w-]+/.exec(spelling)?.[0] ?? spelling;
}

function takesValue({ flags: spelling }: OptionRow): boolean {
  return spelling.includes('<');
}

function beginningWith(current: string, all: readonly Suggestion[]): readonly Suggestion[] {
  return all.filter(({ value }) => value.startsWith(current));
}
