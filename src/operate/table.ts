/** Tables for a screen: as wide as it is, 80 columns where nobody knows, and nothing in them that a terminal would obey. */
import { printable } from '../base/printable.ts';

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly align?: 'right';
  /** May be cut to so many columns when the table is too wide; the last such column is cut first. */
  readonly leastWidth?: number;
}

export type Rows = readonly (readonly string[])[];

const wideGap = '  ';
const narrowGap = ' ';
const usualWidth = 80;
const ellipsis = '…';
const plainText = /^[\x20-\x7e]*$/;

/**
 * Columns of the screen that `stream` leads to; a pipe has none.
 * @param environment `COLUMNS` counts where there is no screen
 */
export function screenWidth(
  environment: NodeJS.ProcessEnv,
  stream: { readonly columns?: number } = process.stdout,
): number {
  const told = Number(environment.COLUMNS);
  return stream.columns ?? (Number.isInteger(told) && told > 0 ? told : usualWidth);
}

/**
 * @param rows cells of whatever origin; they are escaped here
 * @returns whole lines, the titles first
 */
export async function tableText(columns: readonly Column[], rows: Rows, width: number): Promise<string> {
  return (await tableLines(columns, rows, width)).map((line) => `${line}\n`).join('');
}

/** As {@link tableText}, line by line and without line ends. */
export async function tableLines(columns: readonly Column[], rows: Rows, width: number): Promise<string[]> {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => row.map((cell) => printable(cell)))];
  const widthOf = await measureFor(cells);
  const widths = columns.map((_, index) => Math.max(0, ...cells.map((row) => widthOf(row[index] ?? ''))));
  const excessWith = (gap: string): number =>
    widths.reduce((sum, each) => sum + each, gap.length * (columns.length - 1)) - width;
  const gap = excessWith(wideGap) > 0 ? narrowGap : wideGap;
  let excess = excessWith(gap);
  for (const [index, { leastWidth }] of [...columns.entries()].reverse()) {
    const wide = widths[index] ?? 0;
    if (leastWidth !== undefined && excess > 0) {
      const kept = Math.max(Math.min(leastWidth, wide), wide - excess);
      excess -= wide - kept;
      widths[index] = kept;
    }
  }
  return cells.map((row) => {
    const line = columns
      .map(({ align }, index) => {
        const room = widths[index] ?? 0;
        const cell = cut(row[index] ?? '', room, widthOf);
        const padding = ' '.repeat(Math.max(0, room - widthOf(cell)));
        return align === 'right' ? padding + cell : cell + padding;
      })
      .join(gap)
      .trimEnd();
    return cut(line, width, widthOf);
  });
}

/** Characters of two columns and those of none are rare: the tables for them are loaded when one is there. */
async function measureFor(cells: Rows): Promise<(text: string) => number> {
  if (cells.every((row) => row.every((cell) => plainText.test(cell)))) {
    return (text) => text.length;
  }
  const { default: stringWidth } = await import('string-width');
  return (text) => (plainText.test(text) ? text.length : stringWidth(text));
}

function cut(text: string, room: number, widthOf: (text: string) => number): string {
  if (widthOf(text) <= room) {
    return text;
  }
  let kept = '';
  let used = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    used += widthOf(segment);
    if (used > room - 1) {
      break;
    }
    kept += segment;
  }
  return room > 0 ? kept + ellipsis : '';
}

// ---- cells

/** `12s`, `4m`, `3h`, `2d`: one unit is enough to tell old from new. */
export function ageText(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 120) {
    return `${seconds}s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) {
    return `${minutes}m`;
  }
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}

/** `812`, `4.2K`, `193M`, as `ls -h` has it. */
export function sizeText(bytes: number): string {
  let value = bytes;
  for (const unit of ['', 'K', 'M', 'G', 'T']) {
    if (value < 1000 || unit === 'T') {
      return `${value < 10 && unit !== '' ? value.toFixed(1) : Math.round(value)}${unit}`;
    }
    value /= 1024;
  }
  return String(bytes);
}

/** `2026-11-28 09:12:33`, local time. @param seconds since the epoch */
export function startText(seconds: number): string {
  const at = new Date(1000 * seconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
