/** From words to one command line and back: Windows hands a program text, not words. */

/**
 * Quotes a word so that the C runtime's parser gives it back unchanged: quotes are escaped by a backslash, backslashes
 * are doubled only in front of a quote, words with blanks (or none at all) are wrapped.
 */
export function quoteWord(word: string): string {
  const escaped = word.replace(/(\\*)"/g, '$1$1\\"');
  if (word !== '' && !/[ \t]/.test(word)) {
    return escaped;
  }
  return `"${escaped.replace(/(\\+)$/, '$1$1')}"`;
}

export function joinWords(words: readonly string[]): string {
  return words.map(quoteWord).join(' ');
}

/** Splits a command line by the rules of CommandLineToArgvW; what `joinWords` made comes back as it was. */
export function splitWords(line: string): string[] {
  // The program's name has rules of its own: no escapes, up to the closing quote or the first blank.
  const program = /^(?:"([^"]*)"?|([^ \t]*))/.exec(line);
  const words = [program?.[1] ?? program?.[2] ?? ''];
  let at = program?.[0].length ?? 0;
  for (;;) {
    while (isBlank(line[at])) {
      at++;
    }
    if (at >= line.length) {
      return words;
    }
    let word = '';
    let quoted = false;
    while (at < line.length && (quoted || !isBlank(line[at]))) {
      const start = at;
      while (line[at] === '\\') {
        at++;
      }
      const backslashes = at - start;
      if (line[at] === '"') {
        // Backslashes mean themselves except in front of a quote, where each pair is one and an odd one escapes it.
        word += '\\'.repeat(backslashes >> 1);
        const literal = backslashes % 2 === 1;
        const doubled = !literal && quoted && line[at + 1] === '"';
        if (literal || doubled) {
          word += '"';
        }
        // A doubled quote inside a quoted part is a quote and the end of that part.
        if (!literal) {
          quoted = !quoted;
        }
        at += doubled ? 2 : 1;
      } else if (backslashes > 0) {
        word += '\\'.repeat(backslashes);
      } else {
        word += line[at++];
      }
    }
    words.push(word);
  }
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}

/** Longest line cmd.exe reads, in UTF-16 units; what is longer fails with a sentence that does not say so. */
export const maxBatchLineUnits = 8191;

/** Whether a file is run by the command interpreter and not by the system itself. */
export function isBatchFile(file: string): boolean {
  return /\.(bat|cmd)$/i.test(file.replace(/[. ]+$/, ''));
}

/**
 * Command line that makes cmd.exe run a batch file with exactly these words. cmd.exe reads the line twice and expands
 * what looks like variables or operators in it, so every word that is not plainly harmless is wrapped, quotes are
 * doubled, and a percent sign is followed by an empty substring of a variable that always exists, which keeps the text
 * after it from being read as a variable's name.
 * @returns `undefined` when a word has a line break, which no quoting can carry
 */
export function batchCommandLine(interpreter: string, file: string, args: readonly string[]): string | undefined {
  if (/["\r\n%]/.test(file) || args.some((word) => /[\r\n]/.test(word))) {
    return undefined;
  }
  const words = [`"${file}"`, ...args.map(quoteForBatch)];
  return `${quoteWord(interpreter)} /e:ON /v:OFF /d /s /c "${words.join(' ')}"`;
}

function quoteForBatch(word: string): string {
  const harmless = /^[\w#$*+\-./:?@\\]*[\w#$*+\-./:?@]$/.test(word);
  if (harmless) {
    return word;
  }
  const doubled = word.replace(/(\\*)"/g, '$1$1""').replace(/(\\+)$/, '$1$1');
  return `"${doubled.replaceAll('%', '%%cd:~,%')}"`;
}
