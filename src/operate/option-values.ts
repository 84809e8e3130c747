/** Values of options, as users write them. */
import { InvalidArgumentError } from 'commander';

/** Number of a frame. @throws InvalidArgumentError */
export function sequenceNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) {
    throw new InvalidArgumentError('want a whole number that is not negative');
  }
  return Number(text);
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
