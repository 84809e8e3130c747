/** A scenario under the history checker: what its clients see and what its children say is written down and judged at the end. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { checkHistory, describeViolations } from '../../tools/history.ts';
import { historyObserver } from '../../tools/history-observer.ts';
import { HistoryLog, type HistoryRecord, readHistory } from '../../tools/history-records.ts';
import type { ConnectionObserver } from '../../tools/raw-connection.ts';

export class WatchedRun implements Disposable {
  /** For every client of the scenario. */
  readonly observer: ConnectionObserver;
  readonly #folder: string;
  readonly #files: string[] = [];
  readonly #log: HistoryLog;

  /** @param directory private folder of the test, e.g. `daemon.dir` */
  constructor(directory: string) {
    this.#folder = join(directory, 'history');
    mkdirSync(this.#folder);
    this.#log = new HistoryLog(this.file('clients'), 'clients');
    this.observer = historyObserver(this.#log, 'hashes');
  }

  /** A file that belongs to the history, for a writer of its own. */
  file(name: string): string {
    const path = join(this.#folder, name);
    this.#files.push(path);
    return path;
  }

  /** Arguments that make a fixture keep its part of the history. */
  child(session: string): string[] {
    return ['--log', this.file(`child-${session}`), '--session', session];
  }

  /** These sessions were watched to their end: all that they wrote has to be there, and their exit. */
  complete(...sessions: readonly string[]): void {
    for (const session of sessions) {
      this.#log.add({ what: 'complete', session, output: true, input: false });
    }
  }

  /** The same, and every acknowledged byte of stdin has to have been read. */
  completeWithInput(...sessions: readonly string[]): void {
    for (const session of sessions) {
      this.#log.add({ what: 'complete', session, output: true, input: true });
    }
  }

  get records(): HistoryRecord[] {
    return readHistory(this.#files.filter((file) => existsSync(file)));
  }

  /** Fails with every promise that the run has broken. */
  verify(): void {
    const { records } = this;
    expect(records.length, 'an empty history shows nothing').toBeGreaterThan(0);
    expect(describeViolations(checkHistory(records))).toBe('');
  }

  [Symbol.dispose](): void {
    this.#log[Symbol.dispose]();
  }
}
