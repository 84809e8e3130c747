/** Whether the server accepts our token (spec agent.md §10). A token can be renewed there, so the agent never ends for it. */
import type { AgentLog } from './log.ts';
import type { RefusedToken } from './verdict.ts';

/** While it is refused every such poll is told again. */
const toldEvery = 10;

export class TokenState {
  readonly #log: AgentLog;
  /** Refused polls since the last success; `undefined`: it is accepted. */
  #refusedPolls: number | undefined;
  #whenAccepted: (() => void)[] = [];

  constructor(log: AgentLog) {
    this.#log = log;
  }

  refused({ status, isStale, clockAheadMs }: RefusedToken, what: 'poll' | 'other'): void {
    const isFirst = this.#refusedPolls === undefined;
    const polls = (this.#refusedPolls ?? 0) + (what === 'poll' ? 1 : 0);
    if (isFirst || (what === 'poll' && polls % toldEvery === 0)) {
      this.#log.error(`Agent token refused by server (${status})`);
      if (isStale) {
        this.#log.error(clockText(clockAheadMs));
      }
    }
    this.#refusedPolls = polls;
  }

  accepted(): void {
    if (this.#refusedPolls === undefined) {
      return;
    }
    this.#refusedPolls = undefined;
    this.#log.info('Agent token accepted again');
    const waiting = this.#whenAccepted;
    this.#whenAccepted = [];
    for (const tell of waiting) {
      tell();
    }
  }

  /** Resolves when it is accepted again, after the time, or when `signal` is aborted. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.#whenAccepted.push(resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    if (signal.aborted) {
      resolve();
    }
    await promise;
    clearTimeout(timer);
    this.#whenAccepted = this.#whenAccepted.filter((tell) => tell !== resolve);
  }
}

function clockText(aheadMs: number | undefined): string {
  const seconds = Math.round(Math.abs(aheadMs ?? 0) / 1000);
  const by = seconds < 2 ? '' : ` by ${seconds} s: the server's is ${(aheadMs ?? 0) > 0 ? 'ahead' : 'behind'}`;
  return `The clock of this host and that of the server differ${by}; set the wrong one, nothing is lost meanwhile`;
}
