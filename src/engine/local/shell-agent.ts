/** The SSH agent of the login shell, for children that have none (spec platform.md §2 "SSH agent hand-off"). */
import type { SessionPlatform } from '../../../platform/platform.ts';
import type { Log } from '../../base/log.ts';
import type { Timings } from '../../base/timings.ts';
import { agentVariable } from './environment.ts';

const maxFailuresInARow = 3;

export interface ShellAgentOptions {
  readonly platform: SessionPlatform;
  readonly log: Log;
  readonly timings: Timings;
  /** Ends a look-up that still runs. */
  readonly signal: AbortSignal;
}

export class ShellAgent {
  readonly #options: ShellAgentOptions;
  #lookUp: Promise<string | undefined> | undefined;
  #readAt = 0;
  #failures = 0;
  #off = false;

  constructor(options: ShellAgentOptions) {
    this.#options = options;
  }

  /** Path of a socket that accepts right now; `undefined`: the child does without. Never rejects, always bounded. */
  async socket(): Promise<string | undefined> {
    if (this.#off) {
      return undefined;
    }
    const { agentValidMs, agentGiveUpMs } = this.#options.timings;
    if (this.#lookUp === undefined || performance.now() - this.#readAt > agentValidMs) {
      this.#readAt = performance.now();
      this.#lookUp = within(agentGiveUpMs, this.#readFromShell());
    }
    const lookUp = this.#lookUp;
    const path = await lookUp;
    if (path === undefined || path === '') {
      // A shell that answered and has no agent is no failure; the answer holds like any other.
      if (path === undefined) {
        this.#failed(lookUp);
      }
      return undefined;
    }
    const answer = await this.#tryConnect(path);
    if (answer === 'accepts') {
      this.#failures = 0;
      return path;
    }
    if (answer === 'pending') {
      this.#switchOff(`${path} does not answer`);
    } else {
      this.#failed(lookUp);
    }
    return undefined;
  }

  async #readFromShell(): Promise<string | undefined> {
    const { platform, log, timings, signal } = this.#options;
    try {
      return await platform.host.loginShellVariable({ name: agentVariable, timeoutMs: timings.agentShellMs, signal });
    } catch (error) {
      if (!signal.aborted) {
        log.warn('shellenv', `Failed to extract ${agentVariable} from login shell: ${(error as Error).message}`);
      }
      return undefined;
    }
  }

  async #tryConnect(path: string): Promise<'accepts' | 'refuses' | 'pending'> {
    const { agentAcceptMs, agentPendingMs } = this.#options.timings;
    const started = performance.now();
    try {
      const socket = await this.#options.platform.transport.dial(path, { timeoutMs: agentPendingMs });
      socket.destroy();
      return performance.now() - started <= agentAcceptMs ? 'accepts' : 'refuses';
    } catch {
      return performance.now() - started >= agentPendingMs ? 'pending' : 'refuses';
    }
  }

  /** The next spawn asks the shell again, unless this was one failure too many. */
  #failed(lookUp: Promise<string | undefined>): void {
    if (this.#lookUp !== lookUp) {
      return;
    }
    this.#lookUp = undefined;
    if (++this.#failures >= maxFailuresInARow) {
      this.#switchOff(`${maxFailuresInARow} failures in a row`);
    }
  }

  #switchOff(reason: string): void {
    if (this.#off) {
      return;
    }
    this.#off = true;
    this.#options.log.warn('shellenv', `SSH agent hand-off is off: ${reason}`);
  }
}

/** `undefined` when it takes longer; the work itself has its own end. */
async function within<T>(limitMs: number, work: Promise<T>): Promise<T | undefined> {
  const limit = Promise.withResolvers<undefined>();
  const timer = setTimeout(limit.resolve, limitMs, undefined);
  try {
    return await Promise.race([work, limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}
