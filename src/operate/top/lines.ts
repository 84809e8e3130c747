/** The lines of `holdfast top`: harmless, and no longer than the screen is wide. */
import { commandText } from '../command-text.ts';
import { stateText } from '../ps.ts';
import type { SessionRow } from '../session-rows.ts';
import { ageText, type Column, sizeText, tableLines } from '../table.ts';
import { type Rates, sparkline } from './rates.ts';
import type { View } from './view.ts';

const columns: readonly Column[] = [
  { title: ' ID', leastWidth: 12 },
  { title: 'STATE' },
  { title: 'AGE', align: 'right' },
  { title: 'CPU%', align: 'right' },
  { title: 'MEM', align: 'right' },
  { title: 'OUT/s', align: 'right' },
  { title: 'WINDOW', align: 'right' },
  { title: 'OUTPUT' },
  { title: 'COMMAND', leastWidth: 8 },
];

/** @param chosen whether a mark is put before the row */
function cellsOf(row: SessionRow, rates: Rates, now: number, chosen: boolean): string[] {
  const { perSecond, history } = rates.of(row);
  return [
    `${chosen ? '>' : ' '}${row.id}`,
    stateText(row),
    ageText(now - row.spawnedAt),
    row.cpuPercent < 100 ? row.cpuPercent.toFixed(1) : String(Math.round(row.cpuPercent)),
    sizeText(row.memoryBytes),
    sizeText(perSecond),
    sizeText(row.windowBytes),
    sparkline(history),
    `${row.strays.length === 0 ? '' : `+${row.strays.length} strays `}${commandText(row.command, row.args)}`,
  ];
}

/** A table of all, for whoever reads it later. */
export function plainLines(rows: readonly SessionRow[], rates: Rates, width: number, now: number): Promise<string[]> {
  return tableLines(
    columns,
    rows.map((row) => cellsOf(row, rates, now, false)),
    width,
  );
}

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** @param note about daemons that do not answer; empty: there are none @returns as many lines as the screen has */
export async function screenLines(
  view: View,
  rates: Rates,
  { columns: width, rows: height }: ScreenSize,
  note: string,
  now: number,
): Promise<string[]> {
  const shown = view.shown;
  const room = Math.max(1, height - 3);
  const place = view.place(shown);
  const first = Math.max(0, Math.min(place - Math.floor(room / 2), shown.length - room));
  const visible = shown.slice(first, first + room);
  const running = shown.filter(({ state }) => state !== 'exited').length;
  const waiting = shown.filter((row) => row.waiting.length > 0).length;
  const counts = `${shown.length} of ${view.total} sessions, ${running} running, ${waiting} waiting`;
  const head = `holdfast top  ${counts}${note === '' ? '' : `  ${note}`}`;
  const table = await tableLines(
    columns,
    visible.map((row, index) => cellsOf(row, rates, now, first + index === place)),
    width,
  );
  const [title, status] = await Promise.all([oneLine(head, width), oneLine(view.status, width)]);
  const body = [title, ...table].slice(0, height - 1);
  return [...body, ...Array.from({ length: Math.max(0, height - 1 - body.length) }, () => ''), status];
}

/** Cut like the cell of a table. */
async function oneLine(text: string, width: number): Promise<string> {
  const [, line = ''] = await tableLines([{ title: '', leastWidth: 1 }], [[text]], width);
  return line;
}
