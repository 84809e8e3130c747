/** What is wrong with a configuration file: the daemon passes over what it does not know, a check tells of it. */
import { messageOf } from '../base/error-texts.ts';
import { printable } from '../base/printable.ts';
import { parseConfiguration, readSmallFile } from './configuration-file.ts';
import { type OptionName, optionNamed, optionNames, options } from './options.ts';

export interface ConfigurationProblem {
  /** From 1 on; 0: the whole file. */
  readonly line: number;
  readonly text: string;
}

export interface CheckedConfiguration {
  /** Keys whose value would hold, in the order of the option table. */
  readonly keys: readonly OptionName[];
  readonly problems: readonly ConfigurationProblem[];
}

/** @returns `missing` when there is no such file */
export function checkConfiguration(path: string): CheckedConfiguration | 'missing' {
  let text: string | undefined;
  try {
    text = readSmallFile(path);
  } catch (error) {
    return { keys: [], problems: [{ line: 0, text: `the file is ignored: ${messageOf(error)}` }] };
  }
  if (text === undefined) {
    return 'missing';
  }
  const { values, refusals } = parseConfiguration(path, text);
  const refused = refusals.map(({ text: told }) => problemIn(told, path));
  const problems = [...refused, ...problemsOfLines(text)].sort((one, other) => one.line - other.line);
  return { keys: optionNames.filter((name) => name in values), problems };
}

/** `<file>:<line>: <text>` */
function problemIn(told: string, path: string): ConfigurationProblem {
  const [, line = '0', text = told] = /^(\d+): (.*)$/s.exec(told.slice(path.length + 1)) ?? [];
  return { line: Number(line), text };
}

function problemsOfLines(text: string): ConfigurationProblem[] {
  const seen = new Map<OptionName, number>();
  return text.split('\n').flatMap((each, index): ConfigurationProblem[] => {
    const line = index + 1;
    const trimmed = each.trim();
    if (trimmed === '' || trimmed.startsWith('#')) {
      return [];
    }
    const equals = trimmed.indexOf('=');
    if (equals < 0) {
      return [{ line, text: `${printable(trimmed, 100)}: want "key = value", or # before it` }];
    }
    const key = trimmed.slice(0, equals).trimEnd().toLowerCase();
    const name = optionNamed(key);
    if (name === undefined) {
      return [{ line, text: `${printable(key, 100)} is no key${nearest(key)}` }];
    }
    if (!options[name].inFile) {
      return [{ line, text: `${name} is a flag of the command line and no key of a file` }];
    }
    const { withoutEffect } = options[name] as { readonly withoutEffect?: string };
    const before = seen.get(name);
    seen.set(name, line);
    return [
      ...(before === undefined ? [] : [{ line, text: `${name} was set in line ${before} already; this value holds` }]),
      ...(withoutEffect === undefined ? [] : [{ line, text: `${name} has no effect: ${withoutEffect}` }]),
    ];
  });
}

/** Words of which most letters are those of a key. */
function nearest(key: string): string {
  const keys = optionNames.filter((name) => options[name].inFile);
  const [best] = keys
    .map((name) => ({ name, distance: distanceOf(key, name) }))
    .sort((one, other) => one.distance - other.distance);
  return best !== undefined && best.distance <= Math.max(2, key.length / 4) ? `; did you mean ${best.name}?` : '';
}

/** Levenshtein's. */
function distanceOf(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let at = 1; at <= Math.min(one.length, 100); at++) {
    const next = [at];
    for (let to = 1; to <= other.length; to++) {
      const changed = (row[to - 1] ?? 0) + (one[at - 1] === other[to - 1] ? 0 : 1);
      next.push(Math.min((row[to] ?? 0) + 1, (next[to - 1] ?? 0) + 1, changed));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}
