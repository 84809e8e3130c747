/** The texts of errors that a user is told (`HostError`, `HoldfastError`), read off the source: what docs/errors.md has to explain. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
/** A shorter piece could stand anywhere. */
const leastLength = 10;

export interface ErrorText {
  /** `platform/posix/trust.ts`. */
  readonly file: string;
  /** Its longest piece without a value in it. */
  readonly piece: string;
}

export function errorTexts(): readonly ErrorText[] {
  return globSync('{src,platform}/**/*.ts', { cwd: root })
    .sort()
    .flatMap((file) => {
      const source = readFileSync(join(root, file), 'utf8');
      return [...source.matchAll(/new (?:HostError\(|HoldfastError\(\s*'\w+',)\s*/g)].flatMap((found): ErrorText[] => {
        const pieces = piecesOfLiteral(source, found.index + found[0].length);
        const piece = pieces.sort((a, b) => b.length - a.length)[0]?.trim() ?? '';
        return piece.length < leastLength ? [] : [{ file, piece }];
      });
    });
}

/** The constant parts of the string or template that begins at `at`; none when it is another expression. */
function piecesOfLiteral(source: string, at: number): string[] {
  const quote = source[at] ?? '';
  if (!["'", '"', '`'].includes(quote)) {
    return [];
  }
  const pieces = [''];
  let depth = 0;
  for (let place = at + 1; place < source.length; place++) {
    const character = source[place] ?? '';
    if (depth === 0 && character === quote) {
      break;
    }
    if (depth === 0 && source.startsWith('${', place)) {
      depth = 1;
      place++;
      pieces.push('');
    } else if (depth > 0) {
      depth += character === '{' ? 1 : character === '}' ? -1 : 0;
    } else {
      pieces[pieces.length - 1] += character;
    }
  }
  return pieces;
}
