/** Values of options, as users write them. */
import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../base/durations.ts';
import type { ValueKind } from './commands/row.ts';

/** What reads the text of each kind of value; `before` is the value that the option has by now. @throws InvalidArgumentError */
export const valueReaders: Readonly<Record<ValueKind, (text: string, before: unknown) => unknown>> = {
  frameNumber: wholeNumber,
  count: wholeNumber,
  shellWords: programWords,
  variable,
  milliseconds,
  path: filled,
};

/** A program that puts in a variable which is not set means no path, and gets none: an empty one would mean another place. */
function filled(text: string): string {
  if (text === '') {
    throw new InvalidArgumentError('it is empty; leave the option out for the default');
  }
  return text;
}

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) {
    throw new InvalidArgumentError('want a whole number that is not negative');
  }
  return Number(text);
}

function milliseconds(text: string): number {
  const found = parseDuration(text);
  if (found === undefined || found < 0) {
    throw new InvalidArgumentError('want a duration, e.g. 500ms or 10s');
  }
  return found;
}

/** Repeated ones add up. */
function variable(text: string, before: unknown): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at <= 0) {
    throw new InvalidArgumentError('want NAME=value');
  }
  return { ...(before as Readonly<Record<string, string>> | undefined), [text.slice(0, at)]: text.slice(at + 1) };
}

function programWords(text: string): string[] {
  try {
    const words = splitWords(text);
    if (words.length > 0) {
      return words;
    }
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  throw new InvalidArgumentError('it is empty; give the program and its options, e.g. "ssh -p 2222"');
}

/**
 * Splits at blanks; quotes keep blanks inside a word, a backslash takes the next character as it is (not within `'…'`).
 * @throws Error for a quote that is not closed
 */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '\\' && quote !== "'" && at + 1 < text.length) {
      at++;
      word = (word ?? '') + text.charAt(at);
    } else if (quote !== '' ? character === quote : character === '"' || character === "'") {
      quote = quote === '' ? character : '';
      word ??= '';
    } else if (quote === '' && /\s/.test(character)) {
      if (word !== undefined) {
        words.push(word);
      }
      word = undefined;
    } else {
      word = (word ?? '') + character;
    }
  }
  if (quote !== '') {
    throw new Error(`a ${quote} is not closed in ${JSON.stringify(text)}`);
  }
  return word === undefined ? words : [...words, word];
}
