/** Sends what is due in the outbox, one message at a time (spec mesh.md §8). */
import { messageOf } from '../../../base/error-texts.ts';
import { failpoint } from '../../../base/failpoints.ts';
import type { Broker, SendResult } from '../broker/broker.ts';
import type { DueRow, Outbox } from '../store/outbox.ts';
import type { MeshTimings } from '../timings.ts';
import { mostAttempts, pauseAfter } from './retry.ts';

export interface DrainLog {
  warn(name: string, fields: Readonly<Record<string, unknown>>): void;
}

export interface DrainOptions {
  readonly outbox: Outbox;
  readonly broker: Broker;
  readonly timings: MeshTimings;
  readonly log: DrainLog;
  readonly now?: () => number;
}

/** How many rows are taken at a look. */
const mostRows = 32;
/** An error is a broker's text, which may be of any length; so much of it is kept. */
const mostErrorLength = 500;
/** The broker wants nothing from us for a while, whatever it is for. */
const rateLimit = /^rate_limit\b/;

export class DrainWorker {
  readonly #options: DrainOptions;
  readonly #now: () => number;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  /** Ends the present pause; while there is none, `#isWoken` lets the next one be skipped. */
  #endPause: (() => void) | undefined;
  #isWoken = false;
  /** Why the database could not be used the last time. */
  #failure = '';

  constructor(options: DrainOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** There may be a row that is due. */
  wake(): void {
    this.#isWoken = true;
    this.#endPause?.();
  }

  /**
   * Takes no further row. Resolves when the row that is being sent has got its result; closing the broker gives it one.
   * After that nothing is written any more.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#endPause?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { broker, timings } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      // Rows stay pending meanwhile, and no attempt is spent.
      if (broker.state !== 'open' && !(await broker.whenOpen(signal))) {
        return;
      }
      let found = 0;
      try {
        found = await this.#sendDueRows();
        this.#failure = '';
      } catch (error) {
        this.#tellFailure(error);
      }
      if (found === 0 && broker.state === 'open') {
        await this.#pause(timings.drainTickMs);
      }
    }
  }

  /** @returns how many rows were sent, whatever came of it */
  async #sendDueRows(): Promise<number> {
    const { outbox, broker, timings } = this.#options;
    /** What waits for an older message to the same target, which has failed just now. */
    const held = new Set<string | undefined>();
    let sent = 0;
    for (const row of outbox.due(broker.mesh, mostRows, this.#now(), timings.retryMaxMs)) {
      if (this.#stopping.signal.aborted || broker.state !== 'open') {
        break;
      }
      if (held.has(row.target)) {
        continue;
      }
      const outcome = await this.#deliver(row);
      sent += 1;
      if (outcome.pauseMs === undefined) {
        continue;
      }
      held.add(row.target);
      if (rateLimit.test(outcome.error)) {
        await this.#pause(outcome.pauseMs, { canBeWoken: false });
        break;
      }
    }
    return sent;
  }

  async #deliver(row: DueRow): Promise<Outcome> {
    const { outbox, timings, log } = this.#options;
    if (row.enqueuedAt < this.#now() - timings.maxAgeMs) {
      return this.#giveUp(row, 'max_age_exceeded');
    }
    if (row.target === undefined) {
      return this.#giveUp(row, 'no target: an earlier generation did not keep for whom this message is; send it again');
    }
    if (!outbox.markInflight(row.id)) {
      return settled;
    }
    failpoint('mesh.drain.inflight');
    const result = await this.#send(row, row.target);
    failpoint('mesh.drain.ack');
    const attempts = row.attempts + 1;
    const outcome = result.ok ? settled : this.#outcomeOf(result, attempts);
    await this.#keepTrying(() => {
      failpoint('mesh.drain.write');
      if (result.ok) {
        outbox.markDone(row.id, result, this.#now());
      } else if (outcome.pauseMs !== undefined) {
        outbox.markForRetry(row.id, outcome.error, this.#now() + outcome.pauseMs);
      } else {
        outbox.markDead(row.id, outcome.error);
      }
    });
    failpoint('mesh.drain.done');
    if (!result.ok && outcome.pauseMs === undefined) {
      const name = result.permanent ? 'drain_permanent_failure' : 'drain_max_attempts';
      log.warn(name, { id: row.id, err: outcome.error });
    }
    return outcome;
  }

  #giveUp(row: DueRow, error: string): Outcome {
    const { outbox, log } = this.#options;
    outbox.giveUp(row.id, error);
    log.warn('drain_permanent_failure', { id: row.id, err: error });
    return settled;
  }

  async #send({ id, message }: DueRow, target: string): Promise<SendResult> {
    try {
      return await this.#options.broker.send({ ...message, target });
    } catch (error) {
      this.#options.log.warn('drain_send_threw', { id, err: messageOf(error) });
      return { ok: false, error: `send_failed: ${messageOf(error)}`, permanent: false };
    }
  }

  #outcomeOf({ error: text, permanent }: SendResult & { readonly ok: false }, attempts: number): Outcome {
    const error = text.slice(0, mostErrorLength);
    if (permanent) {
      return { error };
    }
    return attempts >= mostAttempts
      ? { error: `max_attempts: ${error}` }
      : { error, pauseMs: pauseAfter(attempts, this.#options.timings) };
  }

  /** A result that cannot be written (a full disk) is kept and tried again: the row would stay in flight until the next start. */
  async #keepTrying(write: () => void): Promise<void> {
    for (;;) {
      try {
        write();
        return;
      } catch (error) {
        this.#tellFailure(error);
        if (this.#stopping.signal.aborted) {
          return;
        }
        await this.#pause(this.#options.timings.drainTickMs, { canBeWoken: false });
      }
    }
  }

  /** A full disk says the same twice a second, and is told once. */
  #tellFailure(error: unknown): void {
    const failure = messageOf(error);
    if (failure !== this.#failure) {
      this.#failure = failure;
      this.#options.log.warn('drain_tick_failed', { err: failure });
    }
  }

  async #pause(ms: number, { canBeWoken = true } = {}): Promise<void> {
    if (this.#stopping.signal.aborted) {
      return;
    }
    if (canBeWoken && this.#isWoken) {
      this.#isWoken = false;
      return;
    }
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#endPause = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#endPause = (): void => {
        if (canBeWoken || this.#stopping.signal.aborted) {
          this.#isWoken = false;
          end();
        }
      };
    });
  }
}

/** What has become of one attempt. With `pauseMs` the row is pending again. */
interface Outcome {
  readonly error: string;
  readonly pauseMs?: number;
}

const settled: Outcome = { error: '' };
