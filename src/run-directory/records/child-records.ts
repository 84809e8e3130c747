/**
 * Writes the record of each child while it runs, so that the next daemon can end it if this one dies (spec platform.md
 * §2).
 */
import type { ChildMarkers, RecordFolder } from '../../../platform/child-markers.ts';
import type { Host } from '../../../platform/host.ts';
import type { Paths } from '../../../platform/paths.ts';
import type { Child, Processes } from '../../../platform/processes.ts';
import { failpoint } from '../../base/failpoints.ts';
import type { Log } from '../../base/log.ts';
import { recordFolderName } from '../names.ts';
import { encodeRecord, recordName } from './record.ts';
import { whyUnusable } from './unusable.ts';

export interface ChildRecordsOptions {
  readonly markers: ChildMarkers;
  readonly processes: Processes;
  readonly host: Pick<Host, 'randomHex'>;
  readonly paths: Paths;
  /** Folder of the socket path, as the children see it in their environment. */
  readonly runDirectory: string;
  readonly instanceId: string;
  readonly log: Log;
}

/** What the engine tells of a child that it has started. */
export type StartedChild = Pick<Child, 'pid' | 'marks' | 'start'> & {
  /** Of the process, for the log. */
  readonly id?: string;
  /** The mark of its session, where it has one; it is recorded by that alone. */
  readonly session?: string;
};

export class ChildRecords {
  readonly #options: ChildRecordsOptions;
  readonly #own: { readonly node: string; readonly daemonPid: number; readonly daemonStart: string };
  /** Records that lie in the folder now. */
  readonly #written = new Set<number>();
  #folder: RecordFolder | undefined;
  #toldFailure = false;
  #toldUnmarked = false;

  constructor(options: ChildRecordsOptions) {
    this.#options = options;
    const self = options.processes.self();
    const daemonStart = options.markers.startOf(self.pid) ?? '';
    this.#own = { node: self.node ?? '', daemonPid: self.pid, daemonStart };
  }

  /** A child has been started. Never fails: a child without record is served like any other. */
  add({ id, pid, marks, session, start: known }: StartedChild): void {
    if (marks === undefined && session === undefined) {
      return;
    }
    if (marks?.unmarkedBecause !== undefined && session === undefined) {
      this.#tellUnmarked(id ?? String(pid), marks.unmarkedBecause);
    }
    const start = known ?? this.#options.markers.startOf(pid);
    // The child has ended already, so there is nothing to record.
    if (start === undefined || start === '') {
      return;
    }
    const record = encodeRecord({
      pid,
      ...this.#own,
      host: this.#options.markers.host,
      instance: this.#options.instanceId,
      argv0: session === undefined ? (marks?.argv0 ?? '') : '',
      ...(session !== undefined || marks?.program === undefined ? {} : { program: marks.program }),
      ...(session === undefined ? {} : { session }),
      start,
      at: Date.now(),
    });
    try {
      failpoint('records.write');
      const temporary = `.rec-${recordName(pid)}.${this.#options.host.randomHex(6)}`;
      const folder = this.#openFolder();
      if (folder === undefined) {
        return;
      }
      folder.write(recordName(pid), temporary, Buffer.from(record));
      this.#written.add(pid);
      this.#toldFailure = false;
    } catch (error) {
      this.#tellFailure(`cannot record child ${pid}: ${this.#options.paths.reason(error)}`);
    }
  }

  /** The child has ended (its pid is still ours), or is to live on without being ended by the next daemon. */
  remove(pid: number): void {
    if (!this.#written.delete(pid)) {
      return;
    }
    failpoint('records.remove.before');
    const error = this.#folder?.remove(recordName(pid));
    if (error !== undefined) {
      const reason = this.#options.paths.reason(error);
      this.#options.log.info(
        'process.Registry',
        `cannot remove record of child ${pid}: removeat ${recordFolderName}/${recordName(pid)}: ${reason}`,
      );
    }
  }

  #openFolder(): RecordFolder | undefined {
    if (this.#folder !== undefined) {
      return this.#folder;
    }
    const { markers, runDirectory } = this.#options;
    let folder: ReturnType<ChildMarkers['openRecords']>;
    try {
      folder = markers.openRecords(runDirectory, recordFolderName, { create: true });
    } catch (error) {
      this.#tellFailure(`${whyUnusable(error, runDirectory, this.#options.paths)}; recording nothing`, 'warn');
      return undefined;
    }
    if (typeof folder === 'object') {
      this.#folder = folder;
    } else {
      this.#tellFailure(`${runDirectory}/${recordFolderName} is not a directory; recording nothing`, 'error');
    }
    return this.#folder;
  }

  /** Told once, and again only after a record could be written in between. */
  #tellFailure(text: string, level: 'info' | 'warn' | 'error' = 'info'): void {
    if (!this.#toldFailure) {
      this.#options.log[level]('process.Registry', text);
    }
    this.#toldFailure = true;
  }

  #tellUnmarked(id: string, reason: string): void {
    if (this.#toldUnmarked) {
      return;
    }
    this.#toldUnmarked = true;
    this.#options.log.info(
      'process.Manager',
      `exec trampoline failed for ${id} (${reason}); starting it directly \u2014 a successor daemon will not be able to reap it`,
    );
  }
}
