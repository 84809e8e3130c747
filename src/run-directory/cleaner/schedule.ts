/**
 * When the host is cleaned: 15 s after the start, then daily (spec platform.md §2 "Host cleaner"). Where it is off, one line
 * says why, and nothing of the cleaner is loaded.
 */
import type { Platform } from '../../../platform/platform.ts';
import type { Counters } from '../../base/counters.ts';
import { goDurationInSeconds } from '../../base/durations.ts';
import { reportOf } from '../../base/error-texts.ts';
import type { Log } from '../../base/log.ts';
import { programFile } from '../../base/own-program.ts';
import type { Timings } from '../../base/timings.ts';
import { findPlace } from './place.ts';

export interface HostCleanerOptions {
  readonly platform: Platform;
  readonly socketPath: string;
  readonly log: Log;
  readonly counters: Counters;
  readonly timings: Timings;
  /** Ends the host cleaner when it is aborted. */
  readonly signal: AbortSignal;
}

export function startHostCleaner(options: HostCleanerOptions): void {
  const { platform, socketPath, log, counters, timings, signal } = options;
  const { hostCleaning: load, childMarkers: markers, processes, paths, host } = platform;
  const place = load === undefined ? 'not built' : findPlace({ paths, socketPath, executable: programFile() });
  if (load === undefined || markers === undefined || typeof place === 'string') {
    log.info('daemon', `host cleaning off: ${place}`);
    return;
  }

  const clean = async (): Promise<void> => {
    try {
      const [{ runPass }, hostCleaning] = await Promise.all([import('./pass.ts'), load()]);
      await runPass({ hostCleaning, markers, processes, paths, host, place, log, counters, timings, signal });
    } catch (error) {
      log.error('hostclean', `the pass stopped: ${reportOf(error)}`);
    }
    if (!signal.aborted) {
      timer = setTimeout(clean, timings.hostCleanEveryMs).unref();
    }
  };
  const [first, every] = [goDurationInSeconds(timings.hostCleanFirstMs), goDurationInSeconds(timings.hostCleanEveryMs)];
  log.info('hostclean', `on under ${place.root}: first pass in ${first}, then one every ${every}`);
  let timer = setTimeout(clean, timings.hostCleanFirstMs).unref();
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
}
