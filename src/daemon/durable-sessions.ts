/** The engine of a daemon with `durable` (spec durable.md), put together. Loaded by such a daemon only. */
import { HostError } from '../../platform/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import type { RunDirectory } from '../../platform/run-directories.ts';
import type { Counters } from '../base/counters.ts';
import type { Log } from '../base/log.ts';
import { defaultMemoryBudget } from '../base/memory-budget.ts';
import { ownVariables } from '../base/own-process.ts';
import type { Timings } from '../base/timings.ts';
import type { Settings } from '../config/settings.ts';
import type { ShellPath } from '../engine/local/shell-path.ts';
import { DurableEngine } from '../keeper/remote/durable-engine.ts';
import type { Ownership } from '../run-directory/ownership.ts';
import { sessionMarksFor, shellAgentFor } from './request-path.ts';

export interface DurableSessionsOptions {
  readonly platform: Platform;
  readonly settings: Settings;
  readonly directory: RunDirectory;
  readonly ownership: Ownership;
  readonly log: Log;
  readonly counters: Counters;
  readonly timings: Timings;
  readonly shellPath: ShellPath;
  readonly markedFor: string | undefined;
  readonly lifetime: AbortSignal;
}

/** Frames cross the channel in pieces of about so many bytes: what a connection hands to its socket at once. */
const pieceBytes = 256 * 1024;
/** The same where writes must be short (src/doors/rpc/outbox.ts). */
const shortPieceBytes = 64 * 1024;

/** @throws HostError where a keeper could not be told from another process of its number */
export async function openDurableSessions(options: DurableSessionsOptions): Promise<DurableEngine> {
  const { platform, settings, directory, ownership, log, counters, timings, shellPath } = options;
  const { profile, socketPath, slowReader } = settings;
  if (platform.processes.self().start === '') {
    throw new HostError(
      '-durable does not work here: this host does not show who a process is, so a keeper could not be recognized',
      'let this user read /proc (mount -t proc proc /proc where it is missing), or start without -durable',
    );
  }
  const unseenRetentionMs = settings.unseenRetentionMs ?? timings.durableUnseenMs;
  return DurableEngine.open({
    ...{ platform, directory, socketPath, log, counters, timings, shellPath },
    settings: {
      ...{ process: profile.process, platform: profile.platform, slowReader, unseenRetentionMs },
      maxSessions: settings.maxSessions,
      spoolBytes: settings.spoolBytes,
      reapTree: settings.reapTree,
      environment: ownVariables(platform.startedWith),
      workingDirectory: platform.startedWith.workingDirectory(),
      markedFor: options.markedFor,
      memoryBudget: settings.memoryBudget ?? defaultMemoryBudget(platform.host.memoryLimit()),
      sessionMarks: sessionMarksFor(options),
      pieceBytes: platform.transport.unreadBytes === undefined ? shortPieceBytes : pieceBytes,
    },
    shellAgent: shellAgentFor(options),
    ownsDirectory: ownership.isHeld,
    endLeftChildren: (unrecorded) => ownership.endLeftChildren(unrecorded),
    lostRetentionMs: unseenRetentionMs,
  });
}
