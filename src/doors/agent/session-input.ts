/** What is typed into one session, in its order and each once (spec agent.md §6.2). */
import type { HostDaemon } from './host-daemon.ts';
import { inputBytes } from './input-line.ts';
import type { InputOrder } from './instruction.ts';
import { pause } from './pauses.ts';
import { Refusal } from './refusal.ts';
import type { AgentSettings } from './settings.ts';

/** The session it belongs to. */
export interface TypedSession {
  readonly id: string;
  readonly state: 'queued' | 'running' | 'terminated';
}

export interface InputContext {
  readonly daemon: Pick<HostDaemon, 'input'>;
  readonly settings: Pick<AgentSettings, 'inputFormat'>;
  readonly signal: AbortSignal;
}

interface PendingInput {
  readonly bytes: Buffer;
  begin(): Promise<void>;
  readonly done: PromiseWithResolvers<void>;
}

/** A child that does not read is asked so often whether it does now. */
const retryMs = 200;

export class SessionInput {
  readonly #session: TypedSession;
  readonly #context: InputContext;
  readonly #waiting: PendingInput[] = [];
  #isTyping = false;

  constructor(session: TypedSession, context: InputContext) {
    this.#session = session;
    this.#context = context;
  }

  /**
   * Resolves when the process has the bytes. What comes before the start of the session waits for it.
   * @param begin called right before they are handed over; what it throws ends the attempt
   * @param place `first`: in front of everything that waits
   * @throws Refusal
   */
  type(input: InputOrder, begin: () => Promise<void>, place: 'first' | 'last'): Promise<void> {
    const bytes = inputBytes(input, this.#context.settings.inputFormat);
    const pending = { bytes, begin, done: Promise.withResolvers<void>() };
    if (place === 'first') {
      this.#waiting.unshift(pending);
    } else {
      this.#waiting.push(pending);
    }
    void this.handOver();
    return pending.done.promise;
  }

  /** Hands over what waits, once the session runs. */
  async handOver(): Promise<void> {
    if (this.#isTyping || this.#session.state !== 'running') {
      return;
    }
    this.#isTyping = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        await next.begin();
        await this.#hand(next.bytes);
        next.done.resolve();
      } catch (error) {
        next.done.reject(error);
      }
    }
    this.#isTyping = false;
  }

  /** The session has ended, or never began: what waits is not typed. */
  refuse(): void {
    for (const { done } of this.#waiting.splice(0)) {
      done.reject(hasEnded(this.#session.id));
    }
  }

  /** @throws Refusal */
  async #hand(bytes: Buffer): Promise<void> {
    const { daemon, signal } = this.#context;
    const { id } = this.#session;
    while (this.#session.state === 'running') {
      const outcome = await daemon.input(id, bytes);
      if (outcome === 'taken') {
        return;
      }
      if (outcome === 'closed') {
        throw new Refusal('stdin_closed', `the input of session ${id} is closed`);
      }
      if (outcome === 'ended' || signal.aborted) {
        break;
      }
      await pause(retryMs, signal);
    }
    throw hasEnded(id);
  }
}

export function hasEnded(id: string): Refusal {
  return new Refusal('session_terminated', `session ${id} has ended`);
}
