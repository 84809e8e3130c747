/** What the agent and its sessions are doing, told to the server (spec agent.md §9). Only the newest report counts. */
import type { DeliveryContext } from './delivery-queue.ts';
import { Backoff, pause } from './pauses.ts';
import { verdictOf } from './verdict.ts';

export interface StatusOptions extends DeliveryContext {
  readonly intervalMs: number;
  /** The report as it is now. */
  report(status: AgentStatus): object;
}

export type AgentStatus = 'online' | 'stopping' | 'offline';

export class StatusReports {
  readonly #options: StatusOptions;
  readonly #ended = new AbortController();
  #status: AgentStatus = 'online';
  /** There is something that the server was not told. */
  #isDue = true;
  #soon: NodeJS.Timeout | undefined;
  #wake: () => void = () => {};
  #told: (() => void)[] = [];

  constructor(options: StatusOptions) {
    this.#options = options;
    void this.#work();
  }

  /** A session is in another state. */
  changed(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#tell();
    }, this.#options.timings.statusSoonMs);
    this.#soon.unref();
  }

  /** Resolves when the server has it, or nothing is sent any more. */
  async tell(status: AgentStatus): Promise<void> {
    this.#status = status;
    const told = new Promise<void>((resolve) => this.#told.push(resolve));
    this.#tell();
    await told;
  }

  end(): void {
    this.#ended.abort();
    clearTimeout(this.#soon);
    this.#wake();
  }

  #tell(): void {
    this.#isDue = true;
    this.#wake();
  }

  async #work(): Promise<void> {
    const { server, token, timings, log, intervalMs } = this.#options;
    const signal = AbortSignal.any([this.#options.signal, this.#ended.signal]);
    signal.addEventListener('abort', () => this.#wake(), { once: true });
    const backoff = new Backoff(timings);
    while (!signal.aborted) {
      if (!this.#isDue) {
        await this.#wait(intervalMs);
        this.#isDue = true;
        continue;
      }
      this.#isDue = false;
      const told = this.#told.splice(0);
      const verdict = verdictOf(await server.post('/status', this.#options.report(this.#status)));
      if (verdict.is === 'again' || verdict.is === 'refused') {
        this.#told.unshift(...told);
        this.#isDue = true;
        if (verdict.is === 'refused') {
          token.refused(verdict.why, 'other');
          await token.wait(timings.refusedMs, signal);
        } else {
          log.debug(`status: ${verdict.reason}`);
          await pause(verdict.retryAfterMs ?? backoff.next(), signal);
        }
        continue;
      }
      if (verdict.is === 'wrong') {
        log.error(`The server refused a status report (${verdict.status})`);
      } else {
        token.accepted();
      }
      backoff.reset();
      for (const tell of told) {
        tell();
      }
    }
    for (const tell of this.#told.splice(0)) {
      tell();
    }
  }

  async #wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, ms);
    if (this.#isDue || this.#ended.signal.aborted) {
      resolve();
    }
    await promise;
    clearTimeout(timer);
  }
}
