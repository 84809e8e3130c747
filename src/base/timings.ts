/** Every timer of the daemon, in milliseconds, in one table: there are no hidden ones. Tests pass shorter ones. */
export interface Timings {
  /** How long a grandchild may hold the pipes open after the child has ended (spec process.md §4). */
  readonly pipeDrainMs: number;
  /** `killAndWait` without `timeoutMs`, its most, and what an escalated kill is waited for (spec process.md §7). */
  readonly killGraceMs: number;
  readonly killGraceMaxMs: number;
  readonly killEscalatedMs: number;
  /** From the polite signal to the group kill of a superseded session (spec process.md §3.6). */
  readonly supersedeGraceMs: number;
  /** An ended process can be replayed for so long, looked at so often (spec process.md §9). */
  readonly retentionMs: number;
  readonly retentionCheckMs: number;
  /** A receiver that takes no byte for so long holds its program back no longer (spec wire.md §2 "steady reader"). */
  readonly readerStallMs: number;
  /**
   * `-bridge` below sshd reads a few bytes so often for a client whose way out stands still, and gives up after so long:
   * sshd takes bytes in steps of 100 KB, for which a client of 1 kB/s needs a minute and a half.
   */
  readonly bridgeTrickleMs: number;
  readonly bridgePatienceMs: number;
  /** Killed children are waited for at most so long at the end (spec process.md §10). */
  readonly shutdownWaitMs: number;
  /** Login-shell PATH (spec process.md §3.3). */
  readonly shellPathMs: number;
  /**
   * SSH agent hand-off (spec platform.md §2): the shell, the whole look-up, a quick and a hopeless socket, how long it
   * holds.
   */
  readonly agentShellMs: number;
  readonly agentGiveUpMs: number;
  readonly agentAcceptMs: number;
  readonly agentPendingMs: number;
  readonly agentValidMs: number;
  /** Handlers of a half-closed connection may finish for so long (spec wire.md §2). */
  readonly halfCloseMs: number;
  /** An idle connection is looked for at most so often (spec wire.md §1). */
  readonly idleCheckMaxMs: number;
  /** Orphan self-probe (spec modes.md §8). */
  readonly selfProbeMs: number;
  readonly orphanGraceMs: number;
  readonly selfProbeReplyMs: number;
  /**
   * A daemon nobody can reach, with nothing to lose, looks so often whether that is still true (design decision 15).
   */
  readonly unreachableCheckMs: number;
  /** A daemon that holds the run directory (spec modes.md §7): from SIGTERM to SIGKILL, and after that. */
  readonly evictTermMs: number;
  readonly evictKillMs: number;
  /**
   * The keeper of durable sessions (spec durable.md): it must have started, and have answered; how long it waits for its first
   * daemon, and how often it looks meanwhile whether the one that has started it lives; how often a daemon that cannot reach it tries again, and how long one that was killed takes to be gone.
   */
  readonly keeperStartMs: number;
  readonly keeperAnswerMs: number;
  readonly keeperFirstDaemonMs: number;
  readonly keeperLookMs: number;
  readonly keeperRetryMs: number;
  readonly keeperGoneMs: number;
  /** A durable session that has ended and whose exit frame no client has can be replayed for so long (key `unseen-retention`). */
  readonly durableUnseenMs: number;
  /**
   * Children of a dead daemon (spec platform.md §2): from SIGTERM to SIGKILL, after that, how often and how carefully
   * is looked.
   */
  readonly reapTermMs: number;
  readonly reapKillMs: number;
  readonly reapPollMs: number;
  readonly reapSecondLookMs: number;
  /** Host cleaner (spec platform.md §2): first pass after the start, and from one to the next. */
  readonly hostCleanFirstMs: number;
  readonly hostCleanEveryMs: number;
  /** Orphaned CLIs: how old they must be; from SIGTERM to SIGKILL, and after that. */
  readonly hostCleanOrphanAgeMs: number;
  readonly hostCleanTermMs: number;
  readonly hostCleanKillMs: number;
  /** Run directories: not used for so long; a socket in one answers, and a daemon asked to end is waited for. */
  readonly hostCleanUnusedMs: number;
  readonly hostCleanAnswerMs: number;
  readonly hostCleanRetireMs: number;
  /** How often the daemon looks whether it has become idle and may give memory back. */
  readonly idleLookMs: number;
  /** Connections to the metrics. */
  readonly metricsRequestMs: number;
  readonly metricsIdleMs: number;
  /** How long one page of metrics is shown to everybody who asks. */
  readonly metricsKeptMs: number;
  /** Longest time between two looks for processes that nobody receives from (key `detached-ttl`). */
  readonly detachedCheckMs: number;
  /** How long a process that already listens where the metrics are to be served may take to say who it is. */
  readonly metricsAskMs: number;
  /** How long a verb that goes on looking waits for a daemon that has gone (spec operators.md). */
  readonly lookGiveUpMs: number;
  /** `holdfast deploy` gives up an ssh connection that takes nothing for so long. */
  readonly deployStallMs: number;
}

export const timings: Timings = {
  pipeDrainMs: 5_000,
  killGraceMs: 3_000,
  killGraceMaxMs: 30_000,
  killEscalatedMs: 7_000,
  supersedeGraceMs: 3_000,
  retentionMs: 15 * 60_000,
  retentionCheckMs: 60_000,
  readerStallMs: 10_000,
  bridgeTrickleMs: 3_000,
  bridgePatienceMs: 150_000,
  shutdownWaitMs: 1_000,
  shellPathMs: 4_000,
  agentShellMs: 4_000,
  agentGiveUpMs: 5_000,
  agentAcceptMs: 250,
  agentPendingMs: 500,
  agentValidMs: 10 * 60_000,
  halfCloseMs: 10_000,
  idleCheckMaxMs: 30_000,
  selfProbeMs: 60_000,
  orphanGraceMs: 10 * 60_000,
  selfProbeReplyMs: 5_000,
  unreachableCheckMs: 1_000,
  evictTermMs: 2_000,
  evictKillMs: 1_000,
  keeperStartMs: 30_000,
  keeperAnswerMs: 2_000,
  keeperFirstDaemonMs: 30_000,
  keeperLookMs: 200,
  keeperRetryMs: 1_000,
  keeperGoneMs: 1_000,
  durableUnseenMs: 24 * 60 * 60_000,
  reapTermMs: 2_000,
  reapKillMs: 1_000,
  reapPollMs: 50,
  reapSecondLookMs: 50,
  hostCleanFirstMs: 15_000,
  hostCleanEveryMs: 24 * 60 * 60_000,
  hostCleanOrphanAgeMs: 5 * 60_000,
  hostCleanTermMs: 3_000,
  hostCleanKillMs: 1_000,
  hostCleanUnusedMs: 30 * 24 * 60 * 60_000,
  hostCleanAnswerMs: 2_000,
  hostCleanRetireMs: 10_000,
  idleLookMs: 3_000,
  metricsRequestMs: 10_000,
  metricsIdleMs: 5_000,
  metricsKeptMs: 1_000,
  detachedCheckMs: 30_000,
  metricsAskMs: 500,
  lookGiveUpMs: 30_000,
  deployStallMs: 60_000,
};

/**
 * Those of `-stop` (spec modes.md §10): the daemon may answer; from SIGTERM to SIGKILL of one that hangs, and after
 * that.
 */
export const stopTimings = { replyMs: 2_000, termMs: 4_000, killMs: 1_500 } as const;
export type StopTimings = typeof stopTimings;
