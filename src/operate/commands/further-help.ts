/** The end of `holdfast <verb> --help`: notes, examples, and what the exit codes mean. */
import { wrapped } from '../wrapped.ts';
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
