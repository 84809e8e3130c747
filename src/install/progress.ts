/** Progress lines of a download (spec install.md §4). */
import { encodeResult } from '../wire/json-writer.ts';

const progressMark = '__INSTALL_PROGRESS__';

export interface Progress {
  /** After the response's headers and before its first byte. `total`: its Content-Length. */
  start(total: number | undefined): void;
  /** Bytes so far. */
  count(bytes: number): void;
  /** The checksum is right. */
  finish(): void;
  /** No further line comes from a tick. */
  stop(): void;
}

/** @param print takes one line without its end */
export function createProgress(tickMs: number, print: (line: string) => void): Progress {
  let total: number | undefined;
  let bytes = 0;
  let printed = 0;
  let ticks: NodeJS.Timeout | undefined;

  const line = (): void => {
    printed = bytes;
    print(`${progressMark}${encodeResult({ phase: 'download', bytes, total })}`);
  };
  const stop = (): void => clearInterval(ticks);

  return {
    start(length) {
      total = length;
      line();
      ticks = setInterval(() => {
        if (bytes !== printed) {
          line();
        }
      }, tickMs);
    },
    count(now) {
      bytes = now;
    },
    finish() {
      stop();
      line();
    },
    stop,
  };
}

/** For the profile without progress lines. */
export const silentProgress: Progress = { start() {}, count() {}, finish() {}, stop() {} };
