/**
 * Whose run directory it is: the lock with its record, and what a dead owner has left in it
 * (spec modes.md §7 "Lock and eviction", platform.md §2 "Child markers, records, reap").
 */

import type { RunDirectoryLock } from '../../platform/lock.ts';
import type { Platform } from '../../platform/platform.ts';
import type { RunDirectory } from '../../platform/run-directories.ts';
import { failpoint } from '../base/failpoints.ts';
import type { Log } from '../base/log.ts';
import type { MarkedChild } from '../base/session-mark.ts';
import type { Timings } from '../base/timings.ts';
import type { Settings } from '../config/settings.ts';
import { lockFileName } from './names.ts';
import { ChildRecords } from './records/child-records.ts';
import { reapChildren } from './records/reap.ts';
import { serveRole, takeLock } from './run-lock.ts';

export interface OwnershipOptions {
  readonly platform: Platform;
  readonly settings: Settings;
  readonly directory: RunDirectory;
  readonly instanceId: string;
  readonly log: Log;
  readonly timings: Timings;
}

/** How children of this daemon are to be found by the next one. */
export interface ChildMarking {
  /** The run directory children are marked for; `undefined`: they are not (profile row `platform.childMarkers`). */
  readonly markedFor: string | undefined;
  /** `undefined`: no records are written. */
  readonly records: ChildRecords | undefined;
}

export class Ownership implements Disposable {
  readonly #options: OwnershipOptions;
  #lock: RunDirectoryLock | undefined;

  constructor(options: OwnershipOptions) {
    this.#options = options;
  }

  /**
   * Takes the lock where the profile has one, and for durable sessions in every profile, ending a predecessor on the way.
   * Without it the daemon serves all the same.
   */
  async claim(): Promise<void> {
    const { platform, settings, directory, log, timings } = this.#options;
    if (!settings.profile.modes.runDirLock && !settings.durable) {
      return;
    }
    const claimed =
      (platform.runDirectories.haveOneDaemon || settings.durable) &&
      (await takeLock({
        platform,
        directory,
        socketPath: settings.socketPath,
        log,
        asker: 'serve',
        termMs: timings.evictTermMs,
        killMs: timings.evictKillMs,
        create: true,
      }));
    if (claimed !== false && 'lock' in claimed) {
      this.#lock = claimed.lock;
      this.record();
      if (this.#lock !== undefined) {
        return;
      }
    }
    log.warn(
      'daemon',
      "serve: not the run dir's lock holder; leaving any predecessor's children alone and recording none",
    );
  }

  /** Whether the run directory is ours. */
  get isHeld(): boolean {
    return this.#lock !== undefined;
  }

  /**
   * Writes who holds the lock; `serving`, once clients can connect. A record that cannot be written (full disk) costs us
   * the lock, not the start (spec modes.md §7 "Any failure").
   */
  record(serving?: { readonly instanceId: string; readonly startedAt: number }): void {
    const { platform, directory, log } = this.#options;
    const { pid, node } = platform.processes.self();
    try {
      this.#lock?.write({ pid, role: serveRole, ...(node === undefined ? {} : { node }), ...serving });
    } catch (error) {
      log.warn('daemon', `serve: WARNING write ${directory.path}/${lockFileName}: ${platform.paths.reason(error)}`);
      // Without a record the next start could not verify us and would not get the lock, so give the lock up.
      this.#lock?.releaseUnchanged();
      this.#lock = undefined;
    }
  }

  /** Ends what a dead daemon has left, and tells how children of this one are to be found by the next. */
  async takeOverChildren(): Promise<ChildMarking> {
    const { platform, settings, instanceId, log, timings } = this.#options;
    const { childMarkers: markers, processes, paths, host } = platform;
    if (!settings.profile.platform.childMarkers || markers === undefined) {
      return { markedFor: undefined, records: undefined };
    }
    const runDirectory = paths.directoryOf(settings.socketPath);
    const common = { markers, processes, paths, runDirectory, log };
    if (this.#lock === undefined) {
      return { markedFor: runDirectory, records: undefined };
    }
    await reapChildren({ ...common, timings, rounds: 'one' });
    // A keeper records its children itself: they are not this daemon's.
    return {
      markedFor: runDirectory,
      records: settings.durable ? undefined : new ChildRecords({ ...common, host, instanceId }),
    };
  }

  /**
   * Ends what a dead keeper has left.
   * @param unrecorded see `ReapOptions`
   * @returns how many groups were ended
   */
  async endLeftChildren(unrecorded: readonly MarkedChild[] = []): Promise<number> {
    const { platform, settings, log, timings } = this.#options;
    const { childMarkers: markers, processes, paths } = platform;
    if (markers === undefined || this.#lock === undefined) {
      return 0;
    }
    const runDirectory = paths.directoryOf(settings.socketPath);
    return await reapChildren({ markers, processes, paths, runDirectory, log, timings, rounds: 'all', unrecorded });
  }

  /** Empties the record and lets go of the lock. A second call does nothing. */
  [Symbol.dispose](): void {
    failpoint('ownership.release.before');
    this.#lock?.clearAndRelease();
    this.#lock = undefined;
  }
}
