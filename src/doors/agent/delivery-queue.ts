/** Small things that the server must have one after the other: acknowledgements, error reports (spec agent.md §4). */
import type { AgentLog } from './log.ts';
import { type AgentTimings, Backoff, pause } from './pauses.ts';
import type { AgentServer } from './server.ts';
import type { TokenState } from './token-state.ts';
import { verdictOf } from './verdict.ts';

export interface DeliveryContext {
  readonly server: Pick<AgentServer, 'post'>;
  readonly token: TokenState;
  readonly timings: AgentTimings;
  readonly log: AgentLog;
  /** Aborted: nothing is sent any more. */
  readonly signal: AbortSignal;
}

export interface Delivery {
  readonly route: string;
  readonly body: object;
}

export class DeliveryQueue {
  readonly #context: DeliveryContext;
  readonly #what: string;
  readonly #most: number;
  #waiting: Delivery[] = [];
  #working: Promise<void> | undefined;

  /**
   * @param what for the log, e.g. `acknowledgement`
   * @param most how many may wait; then the oldest is dropped
   */
  constructor(what: string, most: number, context: DeliveryContext) {
    this.#what = what;
    this.#most = most;
    this.#context = context;
  }

  push(delivery: Delivery): void {
    this.#waiting.push(delivery);
    if (this.#waiting.length > this.#most) {
      this.#waiting.shift();
      this.#context.log.warn(`${this.#most} ${this.#what}s wait for the server; the oldest is dropped`);
    }
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  /** Resolves when nothing waits, or nothing is sent any more. */
  async settled(): Promise<void> {
    await this.#working;
  }

  async #work(): Promise<void> {
    const { server, token, timings, log, signal } = this.#context;
    const backoff = new Backoff(timings);
    for (let next = this.#waiting[0]; next !== undefined && !signal.aborted; next = this.#waiting[0]) {
      const verdict = verdictOf(await server.post(next.route, next.body));
      if (verdict.is === 'again') {
        log.debug(`${this.#what}: ${verdict.reason}`);
        await pause(verdict.retryAfterMs ?? backoff.next(), signal);
        continue;
      }
      if (verdict.is === 'refused') {
        token.refused(verdict.why, 'other');
        await token.wait(timings.refusedMs, signal);
        continue;
      }
      if (verdict.is === 'wrong' || verdict.is === 'tooLarge') {
        log.error(
          `The server refused ${withArticle(this.#what)} (${verdict.is === 'wrong' ? verdict.status : 413}); it is dropped`,
        );
      } else {
        // A conflict, or a thing that the server does not know: it has settled the matter.
        token.accepted();
      }
      backoff.reset();
      // The oldest may have been dropped meanwhile.
      if (this.#waiting[0] === next) {
        this.#waiting.shift();
      }
    }
  }
}

function withArticle(noun: string): string {
  return /^[aeiou]/.test(noun) ? `an ${noun}` : `a ${noun}`;
}
