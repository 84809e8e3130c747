/** How long is waited between attempts (spec agent.md §4, §5). Milliseconds. */

export interface AgentTimings {
  /** A queue's first pause and its longest; each is twice the one before. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** Polls of a server that does not accept the token, and output of a session that it does not know. */
  readonly refusedMs: number;
  readonly unknownSessionMs: number;
  readonly pollMaxMs: number;
  /** The grace of a terminated session that names none, and of the sessions of an agent that stops. */
  readonly graceMs: number;
  /** At the stop: how long output, acknowledgements and the last status may take. */
  readonly lastFlushMs: number;
  /** After a change of a session the status is told within this time. */
  readonly statusSoonMs: number;
  /** Terminated sessions stay in the status so long. */
  readonly listedMs: number;
  /** The same error of the same session is reported once in this time. */
  readonly sameErrorMs: number;
}

export const agentTimings: AgentTimings = {
  backoffMs: 1000,
  backoffMaxMs: 60_000,
  refusedMs: 60_000,
  unknownSessionMs: 60_000,
  pollMaxMs: 60_000,
  graceMs: 5000,
  lastFlushMs: 10_000,
  statusSoonMs: 200,
  listedMs: 600_000,
  sameErrorMs: 10_000,
};

/** So that many agents do not come back at the same moment. */
export function jittered(ms: number): number {
  return ms * (0.8 + 0.4 * Math.random());
}

/** The pauses of one queue: 1, 2, 4 … 60 s. */
export class Backoff {
  readonly #timings: Pick<AgentTimings, 'backoffMs' | 'backoffMaxMs'>;
  #failures = 0;

  constructor(timings: Pick<AgentTimings, 'backoffMs' | 'backoffMaxMs'>) {
    this.#timings = timings;
  }

  next(): number {
    const { backoffMs, backoffMaxMs } = this.#timings;
    return jittered(Math.min(backoffMaxMs, backoffMs * 2 ** Math.min(this.#failures++, 30)));
  }

  reset(): void {
    this.#failures = 0;
  }
}

/** Resolves after the time, or as soon as `signal` is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) {
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
