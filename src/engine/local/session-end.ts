/**
 * How one process is brought to its end (spec process.md §7, §10): who has asked for it, which signal goes where, and the
 * waiting for the exit frame. That the process has ended, however it came about, is session.ts's to see.
 */
import type { SignalName } from '../../../platform/processes.ts';
import type { Log } from '../../base/log.ts';
import type { Timings } from '../../base/timings.ts';
import type { KilledBy } from '../../wire/frames.ts';
import type { Mark } from '../mark.ts';
import type { EndAsked, EndResult, Reader, SessionState } from '../session-engine.ts';

/** Why a process is ended. */
export type EndReason = Pick<EndAsked, 'by' | 'how'>;

export interface EndContext {
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly timings: Timings;
}

/** The process, as its end sees it. */
export interface EndOwner {
  readonly id: string;
  readonly pid: number;
  readonly state: SessionState;
  /** Its output is held back no longer: it is to end. */
  suspendPacing(): void;
  /** @param scope the whole group, or the child alone @returns what went wrong */
  signalChild(name: SignalName, scope: 'tree' | 'child'): string | undefined;
  /** What the ended process has left is ended, where the system itself has hold of it still (Windows: its job). */
  endLeft(): void;
  /** The whole group was killed. */
  treeKilled(): void;
  /** The place behind the exit frame in what `reader` reads; `undefined`: it does not read this process. */
  markEnd(reader: Reader | undefined): Mark | undefined;
}

export class SessionEnd {
  readonly #owner: EndOwner;
  readonly #context: EndContext;
  #killedBy: KilledBy | undefined;
  #asked: EndAsked | undefined;
  #whenExited: (() => void)[] | undefined;

  constructor(owner: EndOwner, context: EndContext) {
    this.#owner = owner;
    this.#context = context;
  }

  /** Whose request was the first; `undefined`: nobody has asked. */
  get killedBy(): KilledBy | undefined {
    return this.#killedBy;
  }

  /** The last request for the end. */
  get asked(): EndAsked | undefined {
    return this.#asked;
  }

  /** Sends one signal; a child seen as ended gets none, because its pid may be somebody else's soon. */
  signal(name: SignalName, reason: EndReason): void {
    if (this.#owner.state !== 'running') {
      this.#endLeft(name);
      return;
    }
    this.#note(name, reason);
    this.#owner.suspendPacing();
    this.#tellFailure(this.#owner.signalChild(name, name === 'KILL' ? 'tree' : 'child'));
    if (name === 'KILL') {
      this.#owner.treeKilled();
    }
  }

  /** Ends everything in the child's group, also when only group members are left to hold the pipes. */
  killTree(reason: EndReason): void {
    if (this.#owner.state === 'exited') {
      return;
    }
    if (this.#owner.state === 'running') {
      this.#note('KILL', reason);
    }
    this.#owner.suspendPacing();
    this.#tellFailure(this.#owner.signalChild('KILL', 'tree'));
    this.#owner.treeKilled();
  }

  /**
   * A signal, and the group's KILL when the exit frame does not come in time (spec process.md §7, from step 2 on).
   * @param asker when it reads this process, its reply stands behind the exit frame
   */
  async signalAndWait(
    name: SignalName,
    reason: EndReason,
    {
      graceMs,
      escalate,
      asker,
    }: { readonly graceMs: number; readonly escalate: boolean; readonly asker?: Reader | undefined },
  ): Promise<EndResult> {
    const owner = this.#owner;
    const ended = { found: true, died: true, alreadyExited: false, escalated: false, mark: undefined };
    if (owner.state === 'exited') {
      this.#endLeft(name);
      return { ...ended, alreadyExited: true, mark: owner.markEnd(asker) };
    }
    this.signal(name, reason);
    if (await this.waitForExit(graceMs)) {
      return { ...ended, mark: owner.markEnd(asker) };
    }
    if (!escalate) {
      return { ...ended, died: false };
    }
    this.killTree(reason);
    const died = await this.waitForExit(this.#context.timings.killEscalatedMs);
    return { ...ended, died, escalated: true, mark: died ? owner.markEnd(asker) : undefined };
  }

  /** KILL is meant for the whole tree, also when its root has ended. */
  #endLeft(name: SignalName): void {
    if (name === 'KILL' && this.#hasExited) {
      this.#owner.endLeft();
    }
  }

  /** Whether the exit frame came within the time. */
  async waitForExit(timeoutMs: number): Promise<boolean> {
    if (this.#hasExited) {
      return true;
    }
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(limit.resolve, timeoutMs);
    await Promise.race([this.exited, limit.promise]);
    clearTimeout(timer);
    return this.#hasExited;
  }

  /** Resolves with the exit frame. */
  get exited(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#hasExited) {
        resolve();
      } else {
        this.#whenExited ??= [];
        this.#whenExited.push(resolve);
      }
    });
  }

  get #hasExited(): boolean {
    return this.#owner.state === 'exited';
  }

  /** The exit frame has been written. */
  tellExited(): void {
    for (const tell of this.#whenExited ?? []) {
      tell();
    }
    this.#whenExited = undefined;
  }

  /** Remembers who wants the end, and tells the log; the same request again is nothing new. */
  #note(signal: SignalName, { by, how }: EndReason): void {
    this.#killedBy ??= by === 'shutdown' ? 'shutdown' : 'client';
    const before = this.#asked;
    const { log } = this.#context;
    const { id, pid } = this.#owner;
    if (before?.by === by && before.how === how) {
      if (signal === 'KILL' && before.signal !== 'KILL' && before.escalatedAt === undefined && how !== 'kill') {
        this.#asked = { ...before, escalatedAt: Date.now() };
        log.info('process.Manager', `Process ${id} outlived ${before.signal}: KILL to its group, PID=${pid}`);
        return;
      }
      if (before.signal === signal) {
        return;
      }
    }
    this.#asked = { by, how, signal, at: Date.now() };
    log.info('process.Manager', `Process ${id}: end asked for by ${by} (${how} ${signal}), PID=${pid}`);
  }

  #tellFailure(failure: string | undefined): void {
    if (failure !== undefined) {
      this.#context.log.warn('process.Manager', `KillAndWait ${this.#owner.id}: group kill failed: ${failure}`);
    }
  }
}
