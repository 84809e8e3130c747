/** What goes into one process: the ledger counts it, and the newest of it is remembered for who looks on. */
import type { Child } from '../../../platform/processes.ts';
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import type { MemoryBudget } from '../../base/memory-budget.ts';
import type { Profile } from '../../wire/profile.ts';
import type { InputPiece, InputResult, MaybePromise } from '../session-engine.ts';
import { RecentInput } from './recent-input.ts';
import { StdinLedger } from './stdin-ledger.ts';

export interface InputContext {
  readonly profile: Pick<Profile, 'process'>;
  readonly log: Pick<Log, 'warn'>;
  readonly counters: Counters;
  readonly budget: Pick<MemoryBudget, 'take' | 'give' | 'ensureRoom'>;
}

/** The process, as its input sees it. */
export interface InputOwner {
  readonly id: string;
  /** "Running" as the profile counts it (spec process.md §2). */
  readonly running: boolean;
  /** Number of the last frame of output. */
  readonly lastSeq: number;
  readonly child: Pick<Child, 'writeInput' | 'closeInput'>;
}

export class SessionInput {
  readonly #owner: InputOwner;
  readonly #context: InputContext;
  readonly #ledger: StdinLedger;
  #recent: RecentInput | undefined;

  constructor(owner: InputOwner, context: InputContext) {
    this.#owner = owner;
    this.#context = context;
    const { profile, counters, budget } = context;
    this.#ledger = new StdinLedger(profile.process, {
      isRunning: () => owner.running,
      write: (bytes, done, place) => {
        counters.stdinBytes += bytes.length;
        this.#note(bytes, place);
        owner.child.writeInput(bytes, done);
      },
      end: () => owner.child.closeInput(),
      onQueueFull: () => this.#queueFull(),
      onRefused: (bytes) => {
        counters.stdinRefusedBytes += bytes;
      },
      budget,
    });
  }

  /** Bytes accepted so far. */
  get applied(): number {
    return this.#ledger.applied;
  }

  /** See `StdinLedger.aside`. */
  get aside(): number {
    return this.#ledger.aside;
  }

  /** Accepted bytes that the child has not taken. */
  get queued(): number {
    return this.#ledger.queued;
  }

  /** The child sees the end of its input behind the accepted bytes. */
  get closed(): boolean {
    return this.#ledger.closed;
  }

  /** The newest last. */
  get recent(): readonly InputPiece[] {
    return this.#recent?.pieces ?? [];
  }

  /** See `StdinLedger.offer`. */
  offer(...asked: Parameters<StdinLedger['offer']>): MaybePromise<InputResult> {
    return this.#ledger.offer(...asked);
  }

  /** See `StdinLedger.close`. */
  close(offset: bigint): MaybePromise<InputResult> {
    return this.#ledger.close(offset);
  }

  /** The process takes no more. */
  processEnded(): void {
    this.#ledger.processEnded();
  }

  /** Nobody has anything to answer any more. */
  forgetRecent(): void {
    this.#recent?.clear();
  }

  #note(bytes: Buffer, place: Pick<InputPiece, 'offset' | 'aside'>): void {
    this.#recent ??= new RecentInput(this.#context.budget);
    this.#recent.add(bytes, place, this.#owner.lastSeq);
  }

  #queueFull(): void {
    const { counters, log, profile } = this.#context;
    counters.stdinQueueFull++;
    log.warn(
      'process.Manager',
      `Process ${this.#owner.id}: stdin queue full (${profile.process.stdinQueueMax} bytes); the child does not read`,
    );
  }
}
