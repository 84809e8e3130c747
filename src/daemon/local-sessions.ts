/** The engine inside the daemon's own process, put together. Loaded by a daemon without `durable` only. */
import { LocalEngine, type LocalEngineOptions } from '../engine/local/local-engine.ts';
import { spoolPlace } from '../engine/local/spool-place.ts';
import { type RequestPathOptions, type SharedWithEngine, sessionMarksFor, shellAgentFor } from './request-path.ts';

export type LocalSessionsOptions = Pick<
  RequestPathOptions,
  'platform' | 'settings' | 'log' | 'counters' | 'timings' | 'lifetime'
> &
  Pick<LocalEngineOptions, 'shellPath' | 'keepChildren' | 'markedFor' | 'records'>;

export function openLocalSessions(options: LocalSessionsOptions, shared: SharedWithEngine): LocalEngine {
  const { platform, settings, log, counters, timings } = options;
  return new LocalEngine({
    ...{ ...shared, platform, log, counters, timings },
    profile: settings.profile,
    slowReader: settings.slowReader,
    unseenRetentionMs: settings.unseenRetentionMs,
    maxSessions: settings.maxSessions,
    spool: spoolPlace(platform, settings.socketPath, settings.spoolBytes),
    reapTree: settings.reapTree,
    sessionMarks: sessionMarksFor(options),
    shellPath: options.shellPath,
    shellAgent: shellAgentFor(options),
    keepChildren: options.keepChildren,
    markedFor: options.markedFor,
    records: options.records,
  });
}
