/**
 * What a daemon does when its socket path no longer leads to it (design decision 15; spec modes.md §8 "Orphan-exit
 * self-probe").
 */

import type { Platform } from '../../platform/platform.ts';
import type { RunDirectory } from '../../platform/run-directories.ts';
import type { Listener } from '../../platform/transport.ts';
import { goDurationInSeconds } from '../base/durations.ts';
import type { Log } from '../base/log.ts';
import type { Timings } from '../base/timings.ts';
import { requestOnce } from '../client/request.ts';

export interface ReachabilityOptions {
  readonly platform: Platform;
  readonly directory: RunDirectory;
  readonly listener: Listener;
  readonly socketPath: string;
  readonly token: Buffer;
  readonly instanceId: string;
  readonly log: Log;
  readonly timings: Timings;
  readonly connectionCount: () => number;
  readonly sessionCount: () => number;
  /** Profile row `modes.selfProbe`. */
  readonly selfProbe: boolean;
  /** Ends the daemon. */
  end(): void;
}

export interface Reachability extends Disposable {
  /** A connection or a session has ended: the daemon may be of no use any more. */
  check(): void;
}

/** Looks at once, and from then on whenever there may be a reason. */
export function watchReachability(options: ReachabilityOptions): Reachability {
  const leftover = watchLeftover(options);
  const stopProbe = options.selfProbe ? startSelfProbe(options) : () => {};
  leftover.check();
  return {
    check: leftover.check,
    [Symbol.dispose]() {
      leftover[Symbol.dispose]();
      stopProbe();
    },
  };
}

/** When nobody can reach the daemon, nobody is connected and no session runs, ending at once loses nothing. */
function watchLeftover({
  directory,
  listener,
  timings,
  connectionCount,
  sessionCount,
  end,
}: ReachabilityOptions): Reachability {
  /** Runs only while nobody is connected and no session runs, so that a daemon with sessions is not woken for it. */
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  /** The same for the watch: the log lies in that directory, so each of its lines would wake a daemon with sessions. */
  let stopWatch: (() => void) | undefined;
  const pause = (): void => {
    clearTimeout(timer);
    stopWatch?.();
    stopWatch = undefined;
  };
  const check = (): void => {
    if (stopped || connectionCount() > 0 || sessionCount() > 0) {
      pause();
      return;
    }
    clearTimeout(timer);
    // Before the look, which would miss what happens between the two.
    stopWatch ??= watchIfPossible(directory, check);
    if (!listener.leadsHere()) {
      end();
      return;
    }
    // The watch is prompt. The timer finds what no watch tells: a folder above was renamed, another host has changed a
    // network folder, this host has no watches left.
    timer = setTimeout(check, timings.unreachableCheckMs).unref();
  };
  return {
    check,
    [Symbol.dispose]() {
      stopped = true;
      pause();
    },
  };
}

/** `undefined` where the directory cannot be watched; the timer is enough there. */
function watchIfPossible(directory: RunDirectory, onChange: () => void): (() => void) | undefined {
  try {
    return directory.watch(onChange);
  } catch {
    return undefined;
  }
}

/** A daemon that still has sessions waits longer: a grace of minutes, then two failed probes. */
function startSelfProbe(options: ReachabilityOptions): () => void {
  const { listener, log, timings, socketPath } = options;
  let lostAt: number | undefined;
  let failures = 0;
  let probing = false;

  async function look(): Promise<void> {
    if (options.connectionCount() > 0 || listener.leadsHere()) {
      lostAt = undefined;
      failures = 0;
      return;
    }
    const now = performance.now();
    if (lostAt === undefined) {
      lostAt = now;
      log.warn(
        'Server',
        `socket path ${socketPath} no longer leads to this daemon; shutting down if that holds for ${goDurationInSeconds(timings.orphanGraceMs)} with nobody connected`,
      );
      return;
    }
    if (now - lostAt < timings.orphanGraceMs) {
      return;
    }
    if (await leadsBack(options)) {
      lostAt = undefined;
      failures = 0;
      return;
    }
    failures++;
    if (failures < 2) {
      log.warn('Server', `socket path ${socketPath} did not lead back to this daemon (1/2); re-checking before acting`);
      return;
    }
    log.warn(
      'Server',
      `orphaned for ${goDurationInSeconds(performance.now() - lostAt)} (socket path gone or re-bound, 2 self-probes failed, no connections); shutting down and killing ${options.sessionCount()} child process(es)`,
    );
    options.end();
  }

  const timer = setInterval(() => {
    if (probing) {
      return;
    }
    probing = true;
    void look().finally(() => {
      probing = false;
    });
  }, timings.selfProbeMs).unref();
  return () => clearInterval(timer);
}

/** Asks whoever answers on the path who it is. */
async function leadsBack({ platform, socketPath, token, instanceId, timings }: ReachabilityOptions): Promise<boolean> {
  const timeoutMs = timings.selfProbeReplyMs;
  try {
    const socket = await platform.transport.dial(socketPath, { timeoutMs });
    try {
      const auth = token.toString('utf8');
      const reply = await requestOnce(socket, { method: 'server.capabilities', auth }, { timeoutMs });
      return (reply?.result as { instanceId?: unknown } | undefined)?.instanceId === instanceId;
    } finally {
      socket.destroy();
    }
  } catch {
    return false;
  }
}
