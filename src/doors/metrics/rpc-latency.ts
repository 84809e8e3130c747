/**
 * How long requests take, and how late the event loop is while there are any. Kept in plain arrays, because a request is
 * handled in microseconds, and without any timer while nobody asks for anything, because an idle daemon must not wake.
 */
/** Upper bounds in seconds; the last bucket has none. */
export const latencyBuckets = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
] as const;

export class Distribution {
  /** Observations of each bucket, not cumulated. */
  readonly counts = new Float64Array(latencyBuckets.length + 1);
  sum = 0;

  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < latencyBuckets.length && seconds > (latencyBuckets[bucket] as number)) {
      bucket++;
    }
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += seconds;
  }
}

/** How long the timer waits by which the delay of the loop is seen. */
const probeMs = 10;

export class RpcLatency {
  readonly byMethod = new Map<string, Distribution>();
  /** How late timers were that were set when a request had been answered. */
  readonly loopDelay = new Distribution();
  #probing = false;

  /**
   * @param method a name of ours, never a client's text
   * @param startedAt `performance.now()` when the method was given the request
   */
  answered(method: string, startedAt: number): void {
    let distribution = this.byMethod.get(method);
    if (distribution === undefined) {
      distribution = new Distribution();
      this.byMethod.set(method, distribution);
    }
    distribution.observe((performance.now() - startedAt) / 1000);
    this.probe();
  }

  /** At most one timer runs, and only requests start one: an idle daemon must not wake. */
  probe(): void {
    if (this.#probing) {
      return;
    }
    this.#probing = true;
    const due = performance.now() + probeMs;
    setTimeout(() => {
      this.#probing = false;
      this.loopDelay.observe(Math.max(0, performance.now() - due) / 1000);
    }, probeMs).unref();
  }
}
