/**
 * The shell snippets of the pages. The last line before one says what becomes of it, in a comment that readers do not see:
 *
 *     <!-- run: clone -->            run as it stands by test/newcomer, in a clean clone; `executable`: with that alone
 *     <!-- run by: <file> -->        that test runs it, or what it shows
 *     <!-- not run: <reason> -->
 *     <!-- snippets run by: <file> -->   below the title: all of the page
 *
 * Blocks that begin with ```console taken are screens, which have a test of their own.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../..');
export const pages = ['*.md', 'docs/**/*.md', 'test/conformance/README.md'].flatMap((pattern) =>
  globSync(pattern, { cwd: root }),
);

export interface Snippet {
  readonly page: string;
  readonly line: number;
  readonly text: string;
  /** What the comment before it says; empty: there is none. */
  readonly mark: string;
}

const shell = /^```(?:sh|bash|console)$/;

export function snippetsOf(page: string): readonly Snippet[] {
  const lines = readFileSync(join(root, page), 'utf8').split('\n');
  const found: Snippet[] = [];
  let before = '';
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const isFence = line.startsWith('```');
    // Four blanks behind an empty line; below a list they belong to its item.
    const isIndented = /^ {4}[^ {]/.test(line) && lines[at - 1] === '' && !/^\s*(?:[-*]|\d+\.) /.test(before);
    if (isFence || isIndented) {
      const end = lines.findIndex((each, index) => index > at && (isFence ? each === '```' : !each.startsWith('    ')));
      if (isIndented || shell.test(line)) {
        const text = lines.slice(isFence ? at + 1 : at, end).join('\n');
        found.push({ page, line: at + 1, text, mark: /^<!-- (.*) -->$/.exec(before)?.[1] ?? '' });
      }
      at = isFence ? end : end - 1;
    }
    before = line === '' ? before : line;
  }
  return found;
}

/** The file that runs every snippet of a page; `undefined`: each says so itself. */
export function runnerOf(page: string): string | undefined {
  return /^<!-- snippets run by: (.*) -->$/m.exec(readFileSync(join(root, page), 'utf8'))?.[1];
}
