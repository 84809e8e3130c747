/** The daemon of this host, where the sessions live (spec agent.md §7): a client of it, and its start where it is the agent's own. */

import { messageOf } from '../../base/error-texts.ts';
import {
  type ConnectOptions,
  connect,
  HoldfastError,
  type Host,
  type SessionInfo,
  type TargetOptions,
} from '../../client/index.ts';
import type { AgentLog } from './log.ts';
import { pause } from './pauses.ts';

export interface HostDaemonOptions {
  readonly socket: string;
  /** Flags of a daemon that has to be started; `undefined`: it is not ours to start. */
  readonly flags: readonly string[] | undefined;
  /** The words that start our own program. */
  readonly program: readonly string[];
  /** For the daemon's start; without what children must not see. */
  readonly environment: NodeJS.ProcessEnv;
  readonly log: AgentLog;
  readonly signal: AbortSignal;
}

export interface StartRequest {
  readonly id: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly launcher: readonly string[] | undefined;
}

export interface Started {
  readonly pid: number | undefined;
  readonly startTime: number | undefined;
  readonly existing: boolean;
}

/** What sessions of ours are started as. */
export const door = 'agent';

const retryMs = 1000;
/** A daemon that cannot be reached is told of so often: the texts of two attempts differ in names of temporary files. */
const tellAgainMs = 60_000;
/** A daemon that has lost its keeper for a moment is asked again for so long. */
const keeperAwayMs = 30_000;
/** How often a session is looked at whose end is waited for. */
const endPollMs = 100;
const retry: ConnectOptions['retry'] = { firstMs: 100, maxMs: 2000 };

export class HostDaemon {
  readonly #options: HostDaemonOptions;
  readonly #host: Host;

  private constructor(host: Host, options: HostDaemonOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Tries until there is one. `undefined`: the signal came first. */
  static async connect(options: HostDaemonOptions): Promise<HostDaemon | undefined> {
    const { log, signal } = options;
    let toldAt = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      try {
        return new HostDaemon(await connect(targetOf(options, true)), options);
      } catch (error) {
        if (performance.now() - toldAt > tellAgainMs) {
          log.error(`The host daemon cannot be reached: ${messageOf(error)}`);
          toldAt = performance.now();
        }
        await pause(retryMs, signal);
      }
    }
    return undefined;
  }

  /** For those who read a session. */
  get readerTarget(): TargetOptions {
    return targetOf(this.#options, false);
  }

  /** The host's facts; the daemon of a named socket may be of any kind. */
  async warnOfWeakDaemon(): Promise<void> {
    const { durable, profile, limits } = await this.#host.describe();
    const { log, socket } = this.#options;
    if (!durable) {
      log.warn(`The host daemon at ${socket} is not durable: its sessions end with it`);
    }
    if (limits.spoolBytes === 0) {
      log.warn(
        `The host daemon at ${socket} has no spool-bytes: it keeps 16 MiB of a session while the server is away`,
      );
    }
    if (profile !== 'latest') {
      log.warn(`The host daemon at ${socket} serves profile ${profile}: a managed launcher needs latest`);
    }
  }

  /** Sessions that were started through this door. @throws HoldfastError */
  async sessions(): Promise<readonly SessionInfo[]> {
    return (await this.#all()).filter((session) => session.door === door);
  }

  /**
   * Starts a process, once, however often it is asked: over a connection that ends at once, so that nobody counts as its
   * receiver. @throws HoldfastError
   */
  async start({ id, command, args, cwd, env, launcher }: StartRequest): Promise<Started> {
    const host = await connect({ ...this.readerTarget, signal: this.#options.signal });
    try {
      const { pid, startTime, existing } = await this.#patiently(() =>
        host.request('process.spawn', {
          ...{ id, command, args, cwd, env, door },
          ...(launcher === undefined ? {} : { launcher }),
          ifAbsent: true,
          wantPid: true,
        }),
      );
      return { pid, startTime, existing: existing === true };
    } finally {
      await host.close();
    }
  }

  /** How many bytes it was given so far; `undefined`: it is not known. @throws HoldfastError */
  async inputBytes(id: string): Promise<number | undefined> {
    return (await this.#find(id))?.inBytes;
  }

  async #find(id: string): Promise<SessionInfo | undefined> {
    return (await this.#all()).find((each) => each.id === id);
  }

  #all(): Promise<readonly SessionInfo[]> {
    return this.#patiently(() => this.#host.sessions());
  }

  /** A daemon that looks for its keeper says so. Each request here may be repeated. */
  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    const { signal } = this.#options;
    for (const giveUpAt = performance.now() + keeperAwayMs; ; ) {
      try {
        return await ask();
      } catch (error) {
        const isAway = error instanceof HoldfastError && /session keeper unreachable/.test(error.message);
        if (!isAway || signal.aborted || performance.now() > giveUpAt) {
          throw error;
        }
      }
      await pause(retryMs, signal);
    }
  }

  /**
   * Gives bytes to the process, once.
   * @returns `ended`: it takes none any more; `full`: it does not read, and none were taken
   * @throws HoldfastError
   */
  async input(id: string, bytes: Buffer): Promise<'taken' | 'ended' | 'closed' | 'full'> {
    const offset = await this.inputBytes(id);
    if (offset === undefined) {
      return 'ended';
    }
    try {
      const params = { id, data: bytes.toString('base64'), offset };
      await this.#patiently(() => this.#host.request('process.stdin', params));
      return 'taken';
    } catch (error) {
      const told = error instanceof HoldfastError && error.kind === 'rpc' ? error.message : '';
      if (/not running|not found/.test(told)) {
        return 'ended';
      }
      if (/stdin closed/.test(told)) {
        return 'closed';
      }
      if (/queue full|memory budget/.test(told)) {
        return 'full';
      }
      throw error;
    }
  }

  /** End of input behind what was accepted. Does nothing to one that has ended. */
  async closeInput(id: string): Promise<void> {
    const session = await this.#find(id);
    if (session?.state === 'running') {
      await this.#host.request('holdfast.closeStdin', { id, offset: session.inBytes }).catch(ignoreRefusal);
    }
  }

  /** Sends a signal and waits for the end. @returns whether it has ended, or is not known */
  async end(id: string, signal: 'INT' | 'TERM' | 'KILL', waitMs: number, escalate: boolean): Promise<boolean> {
    const timeoutMs = Math.max(1, Math.round(waitMs));
    const { found, died } = await this.#patiently(() =>
      this.#host.request('process.killAndWait', { id, signal, timeoutMs, escalate }),
    );
    return !found || died;
  }

  /** Waits for its end without asking for it. @returns whether it has ended, or is not known */
  async untilEnded(id: string, waitMs: number): Promise<boolean> {
    const giveUpAt = performance.now() + waitMs;
    for (;;) {
      const session = await this.#find(id);
      if (session === undefined || session.state === 'exited') {
        return true;
      }
      const left = giveUpAt - performance.now();
      if (left <= 0) {
        return false;
      }
      await pause(Math.min(endPollMs, left), this.#options.signal);
    }
  }

  /** The group's KILL, without waiting. */
  async kill(id: string): Promise<void> {
    await this.#host.request('process.kill', { id, signal: 'KILL' }).catch(ignoreRefusal);
  }

  /** The exit frame is taken as seen, so that the daemon need not keep it for the next client any longer than others. */
  async seen(id: string, exitSeq: number): Promise<void> {
    await this.#host.request('process.reattach', { id, fromSeq: Math.max(0, exitSeq - 1) }).catch(ignoreRefusal);
  }

  async close(): Promise<void> {
    await this.#host.close();
  }
}

/** Only the first connection starts a daemon: two at a time would take the socket from each other. */
function targetOf({ socket, flags, program, environment }: HostDaemonOptions, mayStart: boolean): ConnectOptions {
  const start = mayStart && flags !== undefined;
  return { socket, program, env: environment, retry, start, ...(start ? { flags } : {}) };
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof HoldfastError)) {
    throw error;
  }
}
