/** The end of `holdfast <verb> --help`: notes, examples, and what the exit codes mean. */
import type { CommandRow } from './row.ts';

const width = 80;

export function furtherHelp({ notes, examples, exits }: CommandRow): string {
  const longest = Math.max(...examples.map(({ line }) => line.length));
  const fitsBeside = examples.every(({ what }) => 2 + longest + 4 + what.length <= width);
  return [
    ...(notes === undefined ? [] : ['', ...wrapped(notes, width)]),
    '',
    examples.length > 1 ? 'Examples:' : 'Example:',
    ...examples.flatMap(({ line, what }) =>
      fitsBeside ? [`  ${line.padEnd(longest)}  # ${what}`] : [`  # ${what}`, `  ${line}`],
    ),
    '',
    'Exit codes:',
    ...Object.entries(exits).flatMap(([code, meaning]) =>
      wrapped(meaning, width - 7).map((part, at) => `  ${(at === 0 ? code : '').padEnd(3)}  ${part}`),
    ),
  ].join('\n');
}

/** Lines of at most `most` characters, but for longer words. */
function wrapped(text: string, most: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= most) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}
