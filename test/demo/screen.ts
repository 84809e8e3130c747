/** What the demo prints: a transcript, and a progress line that is one updating line on a terminal, few plain ones elsewhere. */
import { stripVTControlCharacters, styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

const onTerminal = process.stdout.isTTY === true;
const updateMs = onTerminal ? 80 : 1_000;
const labelWidth = 11;
const spinner = ['|', '/', '-', '\\'] as const;

let ended = false;
let progressShown = false;
let lastUpdate = 0;
let turn = 0;

/** Colours only where the terminal and NO_COLOR allow them. */
export function styled(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/** One line of the transcript. */
export function say(label: string, text: string, style: Style = 'cyan'): void {
  line(`  ${styled(style, label.padEnd(labelWidth))}${text}`);
}

export function line(text = ''): void {
  if (ended) {
    return;
  }
  clearProgress();
  process.stdout.write(`${text}\n`);
}

/** Shows where things stand; most calls show nothing, so it can be called for every frame. */
export function progress(text: string): void {
  const now = performance.now();
  if (ended || now - lastUpdate < updateMs) {
    return;
  }
  lastUpdate = now;
  if (!onTerminal) {
    process.stdout.write(`  ${' '.repeat(labelWidth)}${text}\n`);
    return;
  }
  const mark = spinner[turn++ % spinner.length] ?? '';
  const whole = `  ${mark.padEnd(labelWidth)}${text}`;
  // A line that wraps could not be overwritten.
  process.stdout.write(`\r\x1b[2K${styled('dim', whole.slice(0, process.stdout.columns - 1))}`);
  progressShown = true;
}

/** After an interruption: what the story still has to say is not shown any more. */
export function endTranscript(): void {
  clearProgress();
  ended = true;
}

function clearProgress(): void {
  if (progressShown) {
    process.stdout.write('\r\x1b[2K');
    progressShown = false;
  }
}

/** Rows with aligned columns; the widths are those of the visible text. */
export function table(rows: readonly (readonly string[])[]): void {
  const visible = (text: string): number => stripVTControlCharacters(text).length;
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => visible(row[column] ?? ''))));
  for (const row of rows) {
    const cells = row.map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - visible(cell)));
    line(`  ${cells.join('   ').trimEnd()}`);
  }
}
