/** An explanation for people. */
import { printable } from '../../base/printable.ts';
import { ageText, startText } from '../table.ts';
import type { Explanation } from './why.ts';

const nameWidth = 9;

export function whyText(told: Explanation): string {
  const { id, pid, daemon, command, door, startedAt, exitedAt, asked, paced, gaps, stderr, log, reason, state } = told;
  const through = door === undefined ? '' : ` through ${door}`;
  const rows: [string, string][] = [
    ['session', `${id}, pid ${pid}, daemon ${daemon}`],
    ['command', command],
    ['started', `${time(startedAt)}${through}`],
    ...(asked === undefined ? [] : [['asked', askedText(asked)] as [string, string]]),
    ...(exitedAt === undefined
      ? []
      : [['ended', `${time(exitedAt)}, after ${ageText(exitedAt - startedAt)}`] as [string, string]]),
    [state === 'running' ? 'state' : 'because', reason],
    ...gaps.map(({ from, to }): [string, string] => ['gap', `frames ${from} to ${to} fell out of the window`]),
    ...(paced
      ? [['paced', 'it waits for its client, which reads more slowly than it writes'] as [string, string]]
      : []),
  ];
  return [
    ...rows.map(([name, text]) => `${name.padEnd(nameWidth)}${printable(text)}`),
    ...listed('stderr', stderr),
    ...listed('log', log.slice(-10)),
    '',
  ].join('\n');
}

function askedText({ by, how, signal, at, escalatedAt }: NonNullable<Explanation['asked']>): string {
  const escalated = escalatedAt === undefined ? '' : `; KILL to its group at ${time(escalatedAt)}`;
  return `${time(at)} by ${by}: ${how} ${signal}${escalated}`;
}

function listed(name: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`${name}:`, ...lines.map((line) => `  ${printable(line)}`)];
}

function time(milliseconds: number): string {
  return startText(milliseconds / 1000);
}
