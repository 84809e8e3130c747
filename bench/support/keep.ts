/** Where results go: a file for machines, a table and a chart for readers. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import { chart } from './chart.ts';
import { type Row, short, targetText } from './report.ts';

const place = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const results = place('bench/results/latest.json');
const page = place('docs/performance.md');
const picture = place('docs/performance.svg');
const tableBegin = '<!-- results: written by bench/run.ts -->';
const tableEnd = '<!-- end of results -->';

interface Kept {
  readonly date: string;
  readonly machine: string;
  readonly rows: readonly Row[];
}

/** Replaces the figures of one area. */
export function keepResults(area: string, rows: readonly Row[]): void {
  const earlier: Kept | undefined = existsSync(results) ? JSON.parse(readFileSync(results, 'utf8')) : undefined;
  const others = (earlier?.rows ?? []).filter((row) => row.area !== area);
  const kept: Kept = {
    date: new Date().toISOString().slice(0, 10),
    machine: machine(),
    rows: [...others, ...rows.map(rounded)].toSorted((a, b) => a.area.localeCompare(b.area)),
  };
  mkdirSync(place('bench/results'), { recursive: true });
  writeFileSync(results, `${JSON.stringify(kept, undefined, 2)}\n`);
  writeFileSync(picture, chart(kept.rows));
  if (existsSync(page)) {
    writeFileSync(page, withTable(readFileSync(page, 'utf8'), kept));
  }
}

/** What the figures depend on, without anything that names the machine. */
function machine(): string {
  const said = (command: string, ...words: string[]): string =>
    (spawnSync(command, words, { encoding: 'utf8' }).stdout ?? '').split('\n')[0]?.trim() || `no ${command}`;
  const [cpu] = cpus();
  return [
    `${cpus().length} x ${cpu?.model.trim()}`,
    `${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${type()} ${release().split('-')[0]}`,
    `Node ${process.versions.node}`,
    said('go', 'version').replace(/^go version /, ''),
    `gcc ${said('gcc', '-dumpfullversion')}`,
  ].join(', ');
}

/** Four significant digits are more than the machine can repeat. */
function rounded(row: Row): Row {
  return JSON.parse(
    JSON.stringify(row, (_, value) => (typeof value === 'number' ? Number(value.toPrecision(4)) : value)),
  );
}

function withTable(text: string, { date, machine, rows }: Kept): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const lines = [
    tableBegin,
    '',
    `${date}; ${machine}. Medians, in brackets the smallest of the run.`,
    '',
    line(['what', 'ours', 'yardstick', 'ratio', 'target', '', 'command']),
    line(['---', '---', '---', '---', '---', '---', '---']),
    ...rows.map(({ what, unit, ours, theirs, yardstick, ratio, target, met, command }) =>
      line([
        what,
        `${short(ours.median)} ${unit} (${short(ours.min)})`,
        theirs === undefined ? '' : `${yardstick} ${short(theirs.median)} (${short(theirs.min)})`,
        ratio === undefined ? '' : `${short(ratio.median)} (${short(ratio.min)})`,
        targetText(target),
        met ? 'met' : '**missed**',
        `\`${command}\``,
      ]),
    ),
    '',
    tableEnd,
  ];
  const [before, rest = ''] = text.split(tableBegin);
  return `${before}${lines.join('\n')}${rest.split(tableEnd)[1] ?? '\n'}`;
}
