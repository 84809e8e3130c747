/** From the value of a settings file to the words of a launcher (spec generation-n2.md §3.4, §3.5). No shell is behind it. */

export type LauncherWords =
  /** The first word may still be none, or empty: `launcherFault` speaks of that. */
  { readonly argv: readonly string[] } | { readonly reason: string };

const reasons = {
  notJson: 'value starts with `[` but is not valid JSON',
  notStrings: 'JSON form must be an array of strings',
  metacharacter:
    'the value contains an unquoted shell metacharacter (one of ; | & $ ( ) ` < >) \u2014 it is an argv list, not a shell command',
  openQuote: 'unterminated double quote',
  emptyElement:
    'the JSON array contains an empty element \u2014 remove it, or fill in the value it was a placeholder for',
  emptyWord: 'the value contains an empty `""` token \u2014 remove it, or fill in the value it was a placeholder for',
} as const;

/** Unicode white space but U+0085, which JavaScript does not count either. */
const space = /\s/;
const metacharacters = ';|&$()`<>';

export function launcherWords(value: string): LauncherWords {
  const text = value.trimStart();
  return text.startsWith('[') ? jsonWords(text) : listWords(text);
}

function jsonWords(text: string): LauncherWords {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return { reason: reasons.notJson };
  }
  if (!Array.isArray(found) || !found.every((element): element is string => typeof element === 'string')) {
    return { reason: reasons.notStrings };
  }
  return withoutEmpty(
    found.map((element) => element.toWellFormed()),
    reasons.emptyElement,
  );
}

/** One pass: a metacharacter ends it, whatever follows. */
function listWords(text: string): LauncherWords {
  const words: string[] = [];
  let word: string | undefined;
  let inQuotes = false;
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (inQuotes) {
      const next = text.charAt(at + 1);
      if (character === '\\' && (next === '"' || next === '\\')) {
        word += next;
        at++;
      } else if (character === '"') {
        inQuotes = false;
      } else {
        word += character;
      }
    } else if (metacharacters.includes(character)) {
      return { reason: reasons.metacharacter };
    } else if (character === '"') {
      inQuotes = true;
      word ??= '';
    } else if (!space.test(character)) {
      word = (word ?? '') + character;
    } else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (inQuotes) {
    return { reason: reasons.openQuote };
  }
  return withoutEmpty(word === undefined ? words : [...words, word], reasons.emptyWord);
}

/** An empty first word is no launcher at all, which is another reason and goes first. */
function withoutEmpty(argv: readonly string[], reason: string): LauncherWords {
  return argv[0] !== '' && argv.includes('') ? { reason } : { argv };
}
