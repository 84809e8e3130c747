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
  stdinQueueFull: number;
  stdinRefusedBytes: number;
  replayEvictedFrames: number;
  overlongLines: number;
  peersRefused: number;
  busyConnections: number;
  logRotations: number;
  wireLogFramesLost: number;
  gitOutputsCapped: number;
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
    stdinQueueFull: 0,
    stdinRefusedBytes: 0,
    replayEvictedFrames: 0,
    overlongLines: 0,
    peersRefused: 0,
    busyConnections: 0,
    logRotations: 0,
    wireLogFramesLost: 0,
    gitOutputsCapped: 0,
  };
}
