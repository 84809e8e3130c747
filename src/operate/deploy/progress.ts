/** One line on a terminal that tells how far a copy has come; nothing anywhere else. */
import { writeWhole } from '../../base/standard-output.ts';
import { megabytes } from './executable.ts';

const barWidth = 30;
const leastPauseMs = 100;

export interface ProgressLine {
  update(sent: number, all: number): void;
  /** Takes the line away. */
  end(): void;
}

export function progressLine(stream: { readonly isTTY?: boolean } = process.stderr): ProgressLine {
  if (stream.isTTY !== true) {
    return { update() {}, end() {} };
  }
  const start = { at: performance.now(), sent: -1 };
  let shownAt = Number.NEGATIVE_INFINITY;
  return {
    update(sent, all) {
      const now = performance.now();
      if (start.sent < 0) {
        Object.assign(start, { at: now, sent });
      }
      if (now - shownAt < leastPauseMs && sent < all) {
        return;
      }
      shownAt = now;
      const full = Math.round((sent / all) * barWidth);
      const rate = (sent - start.sent) / Math.max(1, now - start.at) / 1000;
      const text = `${'#'.repeat(full).padEnd(barWidth, '.')} ${String(Math.floor((sent / all) * 100)).padStart(3)} %  ${megabytes(sent)} of ${megabytes(all)}  ${rate.toFixed(1)} MB/s`;
      writeWhole(2, `\r${text}\x1b[K`);
    },
    end() {
      if (shownAt > 0) {
        writeWhole(2, '\r\x1b[K');
      }
    },
  };
}
