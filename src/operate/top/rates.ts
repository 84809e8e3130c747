/** How much each session has written from one look to the next, and a line of the last looks. */
import type { SessionRow } from '../session-rows.ts';
import { rowKey } from './view.ts';

export interface Rate {
  /** Bytes of output. */
  readonly perSecond: number;
  /** The oldest first. */
  readonly history: readonly number[];
}

const kept = 8;
const bars = '▁▂▃▄▅▆▇█';
const none: Rate = { perSecond: 0, history: [] };

interface Known {
  readonly bytes: number;
  readonly at: number;
  readonly rate: Rate;
}

export class Rates {
  #known = new Map<string, Known>();

  /** @param at milliseconds since the epoch */
  update(rows: readonly SessionRow[], at: number): void {
    const known = new Map<string, Known>();
    for (const row of rows) {
      const key = rowKey(row);
      const bytes = row.outBytes + row.errBytes;
      const before = this.#known.get(key) ?? { bytes: 0, at: row.spawnedAt, rate: none };
      const seconds = (at - before.at) / 1000;
      const perSecond = seconds <= 0 ? before.rate.perSecond : Math.max(0, bytes - before.bytes) / seconds;
      known.set(key, { bytes, at, rate: { perSecond, history: [...before.rate.history, perSecond].slice(-kept) } });
    }
    this.#known = known;
  }

  of(row: SessionRow): Rate {
    return this.#known.get(rowKey(row))?.rate ?? none;
  }
}

/** A bar for each look, as high as its share of the highest; nothing was written: a blank. */
export function sparkline(history: readonly number[]): string {
  const highest = Math.max(...history, 0);
  return history
    .map((value) =>
      value === 0 ? ' ' : (bars[Math.min(bars.length - 1, Math.floor((value / highest) * bars.length))] ?? ' '),
    )
    .join('')
    .padStart(kept);
}
