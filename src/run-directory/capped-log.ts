/**
 * Keeps the daemon's log from filling a disk: at its limit the file is set aside as `<log>.old`, in place of an older one,
 * and a new one is begun, so that the two never take more than twice the limit. A log that is not ours to set aside (the
 * user's own file or terminal, where the launcher could not make one) is left alone.
 */
import { type BigIntStats, closeSync, fstatSync, ftruncateSync, lstatSync, writeSync } from 'node:fs';
import type { Host } from '../../platform/host.ts';
import type { RunDirectories } from '../../platform/run-directories.ts';
import type { Counters } from '../base/counters.ts';
import { messageOf } from '../base/error-texts.ts';
import type { Log } from '../base/log.ts';

export interface CappedLogOptions {
  readonly log: Log;
  /** Where the launcher made the file. */
  readonly path: string;
  /** Setting `log-max-bytes`; 0: no limit. */
  readonly maxBytes: number;
  readonly runDirectories: RunDirectories;
  readonly host: Host;
  readonly counters: Counters;
}

const standardError = 2;

/** From now on the lines of `log` go where there is room for them. */
export function capLog(options: CappedLogOptions): void {
  if (options.maxBytes > 0) {
    const capped = new CappedLog(options);
    options.log.writeThrough((bytes) => capped.write(bytes));
  }
}

class CappedLog {
  readonly #options: CappedLogOptions;
  #fd = standardError;
  /** At least so many; output of the runtime itself is found out at the limit. */
  #bytes: number;
  #isOurs = true;
  #telling = false;

  constructor(options: CappedLogOptions) {
    this.#options = options;
    this.#bytes = sizeOf(this.#fd);
  }

  write(bytes: Buffer): number {
    if (this.#isOurs && !this.#telling && this.#bytes + bytes.length > this.#options.maxBytes) {
      this.#startOver();
    }
    const written = writeSync(this.#fd, bytes);
    this.#bytes += written;
    return written;
  }

  #startOver(): void {
    this.#bytes = sizeOf(this.#fd);
    const place = this.#place();
    this.#isOurs = place !== 'notOurs';
    if (place === 'notOurs' || this.#bytes === 0) {
      return;
    }
    const full = this.#bytes;
    const failure = place === 'named' ? this.#setAside() : this.#truncate();
    this.#bytes = sizeOf(this.#fd);
    this.#options.counters.logRotations++;
    const { path } = this.#options;
    const older =
      place === 'named' && failure === undefined ? `older lines are in ${path}.old` : 'older lines are gone';
    this.#tell(
      `log had ${full} bytes, the limit is ${this.#options.maxBytes} (log-max-bytes); ${older}` +
        (failure === undefined ? '' : `: ${failure}`),
    );
  }

  /**
   * `named`: the path leads to our log; `nameless`: a later start has removed it or set it aside, so nobody finds it by
   * the path.
   */
  #place(): 'named' | 'nameless' | 'notOurs' {
    const own = fstatSync(this.#fd, { bigint: true });
    if (!own.isFile()) {
      return 'notOurs';
    }
    const { path } = this.#options;
    if (isSame(own, path)) {
      return 'named';
    }
    return own.nlink === 0n || isSame(own, `${path}.old`) ? 'nameless' : 'notOurs';
  }

  /** @returns why the older lines could not be kept */
  #setAside(): string | undefined {
    const { path, runDirectories, host } = this.#options;
    const opened = runDirectories.openLog(path, 'rename');
    if ('declined' in opened) {
      this.#truncate();
      return opened.declined;
    }
    const before = this.#fd;
    // Redirect what the runtime itself writes as well. Where that is impossible, its output stays with the older file.
    this.#fd = host.redirectOutput(opened.fd) ? standardError : opened.fd;
    if (before !== standardError) {
      closeSync(before);
    }
    return opened.olderGone;
  }

  /**
   * Everybody who writes to the log appends, so the next line is written at the new beginning. @returns what went wrong
   */
  #truncate(): string | undefined {
    try {
      ftruncateSync(this.#fd, 0);
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  #tell(text: string): void {
    this.#telling = true;
    try {
      this.#options.log.info('daemon', text);
    } finally {
      this.#telling = false;
    }
  }
}

function isSame(own: BigIntStats, path: string): boolean {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return found !== undefined && found.dev === own.dev && found.ino === own.ino;
}

function sizeOf(fd: number): number {
  try {
    return fstatSync(fd).size;
  } catch {
    return 0;
  }
}
