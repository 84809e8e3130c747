/** The state of the screen of `holdfast top`: what is shown, in which order, and what a key does to it. */
import { printable } from '../../base/printable.ts';
import { commandText } from '../command-text.ts';
import type { SessionRow } from '../session-rows.ts';
import type { Key } from './keys.ts';
import type { Rates } from './rates.ts';

export const sortKeys = ['cpu', 'memory', 'rate', 'window', 'age', 'id'] as const;
export type SortKey = (typeof sortKeys)[number];

/** What the program is to do for a key. */
export type Action = { readonly do: 'quit' } | { readonly do: 'logs' | 'release'; readonly row: SessionRow };

/** `filter`: letters go to the filter; `confirm`: y releases the chosen session. */
type Mode = 'list' | 'filter' | 'confirm';

export class View {
  readonly #rates: Rates;
  #rows: readonly SessionRow[] = [];
  #mode: Mode = 'list';
  #sort: SortKey = 'cpu';
  #filter = '';
  /** Key of the row that is chosen: it stays chosen when the order changes. */
  #chosen: string | undefined;
  #message = '';

  constructor(rates: Rates) {
    this.#rates = rates;
  }

  get sort(): SortKey {
    return this.#sort;
  }

  update(rows: readonly SessionRow[]): void {
    this.#rows = rows;
  }

  /** For the last line, until the next key. */
  tell(message: string): void {
    this.#message = message;
  }

  /** Those that pass the filter, in order. */
  get shown(): readonly SessionRow[] {
    const wanted = this.#filter.toLowerCase();
    return this.#rows
      .filter(
        (row) => wanted === '' || `${row.id} ${commandText(row.command, row.args)}`.toLowerCase().includes(wanted),
      )
      .sort((one, other) => this.#compare(one, other));
  }

  get total(): number {
    return this.#rows.length;
  }

  /** Place of the chosen row among those that are shown; 0 when it is not there any more. */
  place(shown: readonly SessionRow[]): number {
    return Math.max(
      0,
      shown.findIndex((row) => rowKey(row) === this.#chosen),
    );
  }

  /** The line below the table. */
  get status(): string {
    if (this.#mode === 'filter') {
      return `filter: ${printable(this.#filter)}_   Enter: keep  Esc: drop`;
    }
    if (this.#mode === 'confirm') {
      const row = this.#chosenRow();
      return row === undefined ? '' : `end and forget session ${printable(row.id, 40)} (pid ${row.pid})? y/n`;
    }
    if (this.#message !== '') {
      return this.#message;
    }
    const filter = this.#filter === '' ? '' : `  filter: ${printable(this.#filter, 20)}`;
    return `q quit  up/down choose  s sort: ${this.#sort}  / filter  l logs  x release${filter}`;
  }

  take(key: Key): Action | undefined {
    this.#message = '';
    if (key.name === 'interrupt') {
      return { do: 'quit' };
    }
    switch (this.#mode) {
      case 'filter':
        this.#takeForFilter(key);
        return undefined;
      case 'confirm': {
        this.#mode = 'list';
        const row = this.#chosenRow();
        return key.name === 'text' && key.text === 'y' && row !== undefined ? { do: 'release', row } : undefined;
      }
      default:
        return this.#takeForList(key);
    }
  }

  #takeForFilter(key: Key): void {
    if (key.name === 'text') {
      this.#filter += key.text;
    } else if (key.name === 'backspace') {
      this.#filter = this.#filter.slice(0, -1);
    } else if (key.name === 'escape') {
      this.#filter = '';
      this.#mode = 'list';
    } else if (key.name === 'enter') {
      this.#mode = 'list';
    }
  }

  #takeForList(key: Key): Action | undefined {
    const shown = this.shown;
    const row = this.#chosenRow();
    switch (key.name === 'text' ? key.text : key.name) {
      case 'q':
        return { do: 'quit' };
      case 'up':
      case 'k':
        this.#move(shown, -1);
        break;
      case 'down':
      case 'j':
        this.#move(shown, 1);
        break;
      case 'pageUp':
        this.#move(shown, -20);
        break;
      case 'pageDown':
        this.#move(shown, 20);
        break;
      case 'home':
        this.#move(shown, Number.NEGATIVE_INFINITY);
        break;
      case 'end':
        this.#move(shown, Number.POSITIVE_INFINITY);
        break;
      case 's':
        this.#sort = sortKeys[(sortKeys.indexOf(this.#sort) + 1) % sortKeys.length] ?? 'cpu';
        break;
      case '/':
        this.#mode = 'filter';
        break;
      case 'escape':
        this.#filter = '';
        break;
      case 'l':
      case 'enter':
        return row === undefined ? undefined : { do: 'logs', row };
      case 'x':
        this.#chosen = row === undefined ? undefined : rowKey(row);
        this.#mode = row === undefined ? 'list' : 'confirm';
        break;
      default:
    }
    return undefined;
  }

  #move(shown: readonly SessionRow[], by: number): void {
    const to = Math.min(shown.length - 1, Math.max(0, this.place(shown) + by));
    const row = shown[to];
    this.#chosen = row === undefined ? undefined : rowKey(row);
  }

  #chosenRow(): SessionRow | undefined {
    const shown = this.shown;
    return shown[this.place(shown)];
  }

  #compare(one: SessionRow, other: SessionRow): number {
    const by = (value: (row: SessionRow) => number): number => value(other) - value(one);
    const order = {
      cpu: () => by((row) => row.cpuPercent),
      memory: () => by((row) => row.memoryBytes),
      rate: () => by((row) => this.#rates.of(row).perSecond),
      window: () => by((row) => row.windowBytes),
      age: () => by((row) => -row.spawnedAt),
      id: () => 0,
    }[this.#sort]();
    return order === 0 ? compareTexts(rowKey(one), rowKey(other)) : order;
  }
}

/** One process of one daemon, by the name of its session first. */
export function rowKey({ id, daemon, pid, startTime }: SessionRow): string {
  return JSON.stringify([id, daemon, pid, startTime]);
}

function compareTexts(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
