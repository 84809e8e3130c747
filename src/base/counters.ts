/** What the daemon counts all the time (spec modes.md §14); metrics.ts shows it to whoever asks. */
export interface Counters {
  connections: number;
  processSpawns: number;
  processExits: number;
  reattaches: number;
  /** Decoded stdout and stderr bytes, once per frame. */
  streamBytes: number;
  /** Bytes accepted for stdin. */
  stdinBytes: number;
  slowReadersDropped: number;
  /** Times a program was held back for its receiver, and how long in all. */
  paced: number;
  pacedMs: number;
  stdinQueueFull: number;
  stdinRefusedBytes: number;
  replayEvictedFrames: number;
  /** Bytes of frames written to spools, and times a spool failed. */
  spooledBytes: number;
  spoolFailures: number;
  overlongLines: number;
  peersRefused: number;
  newcomersRefused: number;
  /** Spawns refused for `max-sessions`. */
  sessionsRefused: number;
  /** Processes outside their session's group ended for `reap-tree`. */
  treeProcessesEnded: number;
  /** Processes ended for `detached-ttl`. */
  detachedEnded: number;
  metricsConnectionsCut: number;
  busyConnections: number;
  /** Rounds in which frames were dropped for the memory budget, their bytes, and requests refused for want of room. */
  memoryBudgetReached: number;
  memoryBudgetFrameBytes: number;
  memoryBudgetRefused: number;
  logRotations: number;
  wireLogFramesLost: number;
  gitOutputsCapped: number;
  /** Calls that had to wait because as many as may run at once were running. */
  gitCallsQueued: number;
  /** Requests refused because something in the repository is more than is looked at. */
  gitLimitsReached: number;
  hostCleanPasses: number;
  hostCleanGroupsEnded: number;
  hostCleanDaemonsRetired: number;
  hostCleanDirectoriesRemoved: number;
  /** Orphans and unused run directories left alone, each with its reason in the log. */
  hostCleanRefusals: number;
  /** Caps of a pass that were reached. */
  hostCleanCaps: number;
  /** Keepers of durable sessions: started, adopted, found dead at a start, died in use, refused, and channels to one lost. */
  keeperStarts: number;
  keeperAdoptions: number;
  keepersFoundDead: number;
  keeperDeaths: number;
  keeperRefusals: number;
  keeperChannelLosses: number;
}

export function createCounters(): Counters {
  return {
    connections: 0,
    processSpawns: 0,
    processExits: 0,
    reattaches: 0,
    streamBytes: 0,
    stdinBytes: 0,
    slowReadersDropped: 0,
    paced: 0,
    pacedMs: 0,
    stdinQueueFull: 0,
    stdinRefusedBytes: 0,
    replayEvictedFrames: 0,
    spooledBytes: 0,
    spoolFailures: 0,
    overlongLines: 0,
    peersRefused: 0,
    newcomersRefused: 0,
    sessionsRefused: 0,
    treeProcessesEnded: 0,
    detachedEnded: 0,
    metricsConnectionsCut: 0,
    busyConnections: 0,
    memoryBudgetReached: 0,
    memoryBudgetFrameBytes: 0,
    memoryBudgetRefused: 0,
    logRotations: 0,
    wireLogFramesLost: 0,
    gitOutputsCapped: 0,
    gitCallsQueued: 0,
    gitLimitsReached: 0,
    hostCleanPasses: 0,
    hostCleanGroupsEnded: 0,
    hostCleanDaemonsRetired: 0,
    hostCleanDirectoriesRemoved: 0,
    hostCleanRefusals: 0,
    hostCleanCaps: 0,
    keeperStarts: 0,
    keeperAdoptions: 0,
    keepersFoundDead: 0,
    keeperDeaths: 0,
    keeperRefusals: 0,
    keeperChannelLosses: 0,
  };
}
