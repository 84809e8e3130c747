/**
 * What each timer is for, as `holdfast config` tells it; the values are src/base/timings.ts and src/install/timings.ts.
 */
import type { StopTimings, Timings } from '../base/timings.ts';
import type { InstallTimings } from '../install/timings.ts';

export const timerTexts: Record<keyof Timings, string> = {
  pipeDrainMs: 'something a process left behind may hold its output open after its end',
  killGraceMs: 'process.killAndWait without timeoutMs',
  killGraceMaxMs: 'longest timeoutMs of process.killAndWait',
  killEscalatedMs: 'wait after the SIGKILL of process.killAndWait',
  supersedeGraceMs: 'from SIGTERM to SIGKILL of a superseded session',
  retentionMs: 'an ended process can be replayed',
  retentionCheckMs: 'how often ended processes are looked through',
  readerStallMs: 'a client that reads nothing for so long holds its process back no longer',
  shutdownWaitMs: 'killed processes are waited for at the end',
  shellPathMs: 'login shell asked for its PATH',
  agentShellMs: 'login shell asked for its SSH agent',
  agentGiveUpMs: 'the whole look-up of the SSH agent',
  agentAcceptMs: 'an SSH agent must accept',
  agentPendingMs: 'an SSH agent that neither accepts nor refuses ends the hand-off',
  agentValidMs: 'an SSH agent found is used without another look',
  halfCloseMs: 'requests of a half-closed connection may still finish',
  idleCheckMaxMs: 'how often idle connections are looked for, at the least',
  selfProbeMs: 'how often the daemon looks whether its socket path still leads to it',
  orphanGraceMs: 'a daemon its socket path no longer leads to waits for a client',
  selfProbeReplyMs: 'the daemon waits for its own answer',
  unreachableCheckMs: 'the same look of a daemon with no client and no session',
  evictTermMs: 'from SIGTERM to SIGKILL of a daemon that holds the run directory',
  evictKillMs: 'wait after that SIGKILL',
  keeperStartMs: 'a keeper of durable sessions must have started',
  keeperAnswerMs: 'it must answer a daemon, or a daemon it',
  keeperFirstDaemonMs: 'it waits for its first daemon',
  keeperRetryMs: 'how often a daemon tries to reach a keeper that it cannot reach',
  keeperGoneMs: 'a keeper that has closed its channel may take to be gone',
  durableUnseenMs:
    'with durable, an ended process can be replayed whose exit no client has seen (key unseen-retention)',
  reapTermMs: 'from SIGTERM to SIGKILL of a dead daemon’s children',
  reapKillMs: 'wait after that SIGKILL',
  reapPollMs: 'how often they are looked at meanwhile',
  reapSecondLookMs: 'second look at a leader that seems gone',
  hostCleanFirstMs: 'first pass of the host cleaner after the start (profile next)',
  hostCleanEveryMs: 'from one pass to the next',
  hostCleanOrphanAgeMs: 'youngest age of an orphaned CLI that is ended',
  hostCleanTermMs: 'from its SIGTERM to its SIGKILL',
  hostCleanKillMs: 'wait after that SIGKILL',
  hostCleanUnusedMs: 'a run directory not used for so long is removed',
  hostCleanAnswerMs: 'a socket in one answers, and a look at it is over',
  hostCleanRetireMs: 'a daemon asked to end for that is waited for',
  idleLookMs: 'how often the daemon looks whether it is idle and may give memory back',
  metricsRequestMs: 'a request for the metrics must have come whole, and its answer been taken',
  metricsIdleMs: 'a connection to the metrics may be idle',
  metricsKeptMs: 'one page of metrics is shown to everybody who asks',
  metricsAskMs: 'whoever accepts where the metrics are to be served may take to say who it is',
};

export const installTimerTexts: Record<keyof InstallTimings, string> = {
  cachedRunMs: '-install: the version run of a CLI that was there, and -probe-cli',
  firstRunMs: '-install: the version run of a new CLI',
  killedRunMs: '-install: a version run that was killed is waited for',
  cachedLauncherRunMs: '-install: the version run of a CLI that was there through the managed launcher, and -probe-cli',
  firstLauncherRunMs: '-install: the version run of a new CLI through the managed launcher',
  launcherOutputMs: '-install: what the launcher wrote is waited for after its end',
  libcMs: '-install: ldd --version',
  libcHolderMs: '-install: whatever ldd left behind may hold its output open',
  connectMs: '-install: connecting to a server',
  tlsHandshakeMs: '-install: the TLS handshake with it',
  responseHeadersMs: '-install: its answer must begin',
  readIdleMs: '-install: longest silence in a download',
  progressMs: '-install: from one progress line to the next',
  leftoverAgeMs: '-install: what an earlier run has left goes when it is older',
  partFileAgeMs: '-install: a .zst.part file goes when it is older (profile latest)',
};

export const stopTimerTexts: Record<keyof StopTimings, string> = {
  replyMs: '-stop: the daemon may answer',
  termMs: '-stop: from SIGTERM to SIGKILL of a daemon that does not accept',
  killMs: '-stop: wait after that SIGKILL',
};
