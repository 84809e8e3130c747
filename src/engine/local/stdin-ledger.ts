/**
 * Counts the bytes accepted for a child's stdin, so that a client can repeat a request without anything running twice
 * (spec process.md §5). `applied` is the promise: every byte below it was accepted exactly once.
 */
import type { MemoryBudget } from '../../base/memory-budget.ts';
import type { Profile } from '../../wire/profile.ts';
import { EngineFailure } from '../failures.ts';
import type { InputPlace, InputResult } from '../session-engine.ts';

export type StdinRules = Pick<Profile['process'], 'stdinOffsetBeforeRunning' | 'stdinQueueMax' | 'stdinQueueFull'>;

export interface StdinTarget {
  /** Whether the process counts as running (profile row `process.runningFlipsAt`). */
  isRunning(): boolean;
  /** @param place of the first byte; `aside` only of bytes that are not counted */
  write(bytes: Buffer, done: () => void, place: { readonly offset: number; readonly aside?: number }): void;
  /** Every accepted byte was written or dropped, and none will follow: the child is to see the end of its input. */
  end(): void;
  /** The limit was reached for the first time. */
  onQueueFull(): void;
  /** Bytes were refused because of it. */
  onRefused?(bytes: number): void;
  /** Counts what waits for the child; `undefined`: nobody does. */
  readonly budget?: Pick<MemoryBudget, 'take' | 'give' | 'ensureRoom'>;
}

/** A pipe takes so much at once: up to here it is the system that holds the bytes, and the memory budget is not asked. */
const pipeBytes = 65_536;

/** A request that is answered once the queue has room. */
interface HeldRequest {
  readonly bytes: number;
  /** `undefined`: the queue still has no room. */
  tryNow(): InputResult | undefined;
  readonly resolve: (result: InputResult) => void;
  readonly reject: (error: unknown) => void;
}

export class StdinLedger {
  readonly #rules: StdinRules;
  readonly #target: StdinTarget;
  #applied = 0;
  /** Bytes that went to the child without being counted in `#applied`. */
  #aside = 0;
  #queued = 0;
  #held: HeldRequest[] = [];
  #toldFull = false;
  #closed = false;

  constructor(rules: StdinRules, target: StdinTarget) {
    this.#rules = rules;
    this.#target = target;
  }

  /** Decoded bytes accepted so far. */
  get applied(): number {
    return this.#applied;
  }

  /** Bytes accepted besides those, of whom the one who counts its own knows nothing. */
  get aside(): number {
    return this.#aside;
  }

  /** Accepted bytes that the child has not taken. */
  get queued(): number {
    return this.#queued;
  }

  /** The child sees the end of its input behind the accepted bytes. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Accepts `data`, or refuses it and changes nothing.
   * @param gone whoever asks has gone: a request that still waits for room is dropped
   * @param place all of it goes there, or nothing
   * @returns a promise only where the profile holds replies back
   * @throws EngineFailure, MemoryBudgetReached; also through the promise
   */
  offer(
    data: Buffer,
    offset: bigint | undefined,
    gone?: AbortSignal,
    place?: InputPlace,
  ): InputResult | Promise<InputResult> {
    return this.#inOrder(() => this.#tryOffer(data, offset, place), data.length, gone);
  }

  /**
   * End of input after exactly `offset` bytes (spec extensions.md §2.3).
   * @throws EngineFailure also through the promise
   */
  close(offset: bigint): InputResult | Promise<InputResult> {
    return this.#inOrder(() => this.#tryClose(offset), 0, undefined);
  }

  /** The process has ended: what waits for room is answered. */
  processEnded(): void {
    const waiting = this.#held;
    this.#held = [];
    for (const { bytes, reject } of waiting) {
      this.#target.budget?.give(bytes);
      reject(new EngineFailure('processNotRunning'));
    }
  }

  #inOrder(
    tryNow: () => InputResult | undefined,
    bytes: number,
    gone: AbortSignal | undefined,
  ): InputResult | Promise<InputResult> {
    const result = this.#held.length > 0 ? undefined : tryNow();
    if (result !== undefined) {
      return result;
    }
    this.#target.budget?.ensureRoom(bytes, 'process.stdin that waits for its process');
    this.#target.budget?.take(bytes);
    const { promise, resolve, reject } = Promise.withResolvers<InputResult>();
    const request = { bytes, tryNow, resolve, reject };
    this.#held.push(request);
    if (gone !== undefined) {
      const drop = (): void => this.#drop(request);
      gone.addEventListener('abort', drop, { once: true });
      const settled = (): void => gone.removeEventListener('abort', drop);
      promise.then(settled, settled);
    }
    return promise;
  }

  /** Nobody waits for the answer any more, so the bytes are not taken: a client that comes back sends them again. */
  #drop(request: HeldRequest): void {
    const place = this.#held.indexOf(request);
    if (place === -1) {
      return;
    }
    this.#held.splice(place, 1);
    this.#target.budget?.give(request.bytes);
    request.reject(new EngineFailure('clientGone'));
    if (place === 0) {
      this.#letHeldIn();
    }
  }

  /** `undefined`: the queue is full and the reply must wait. */
  #tryOffer(data: Buffer, offset: bigint | undefined, place: InputPlace | undefined): InputResult | undefined {
    const running = this.#target.isRunning();
    if (!running && !this.#rules.stdinOffsetBeforeRunning) {
      throw new EngineFailure('processNotRunning');
    }
    if (place !== undefined && offset !== undefined) {
      this.#requirePlace(offset, place);
    }
    const fresh = this.#freshBytes(data, offset);
    if (fresh === 'duplicate') {
      return { applied: this.#applied, duplicate: true };
    }
    if (!running) {
      throw new EngineFailure('processNotRunning');
    }
    if (this.#closed && fresh.length > 0) {
      throw new EngineFailure('stdinClosed');
    }
    if (this.#queued > 0 && this.#queued + fresh.length > this.#rules.stdinQueueMax) {
      this.#tellFull();
      if (this.#rules.stdinQueueFull === 'refuse') {
        this.#target.onRefused?.(fresh.length);
        throw new EngineFailure('stdinQueueFull');
      }
      return undefined;
    }
    if (this.#queued + fresh.length > pipeBytes) {
      this.#target.budget?.ensureRoom(fresh.length, 'process.stdin');
    }
    this.#accept(fresh, typeof place === 'object');
    return { applied: this.#applied, duplicate: false };
  }

  #requirePlace(offset: bigint, place: InputPlace): void {
    const isAside = typeof place === 'object';
    if (offset < BigInt(this.#applied) || (isAside && place.aside < BigInt(this.#aside))) {
      throw new EngineFailure('stdinBehind');
    }
    if (isAside && place.aside > BigInt(this.#aside)) {
      throw new EngineFailure('stdinGap');
    }
  }

  /** The table of spec process.md §5.2; the gap is tested first so that no sum can overflow. */
  #freshBytes(data: Buffer, offset: bigint | undefined): Buffer | 'duplicate' {
    if (offset === undefined) {
      return data;
    }
    const applied = BigInt(this.#applied);
    if (offset > applied) {
      throw new EngineFailure('stdinGap');
    }
    if (offset === applied) {
      return data;
    }
    if (offset + BigInt(data.length) <= applied) {
      return 'duplicate';
    }
    return data.subarray(Number(applied - offset));
  }

  #tryClose(offset: bigint): InputResult {
    const applied = BigInt(this.#applied);
    if (this.#closed && offset === applied) {
      return { applied: this.#applied, duplicate: true };
    }
    if (!this.#target.isRunning()) {
      throw new EngineFailure('processNotRunning');
    }
    if (offset !== applied) {
      throw new EngineFailure(offset > applied ? 'stdinGap' : 'stdinEndBehind');
    }
    this.#closed = true;
    this.#endWhenWritten();
    return { applied: this.#applied, duplicate: false };
  }

  #accept(bytes: Buffer, isAside: boolean): void {
    const place = isAside ? { offset: this.#applied, aside: this.#aside } : { offset: this.#applied };
    if (isAside) {
      this.#aside += bytes.length;
    } else {
      this.#applied += bytes.length;
    }
    if (bytes.length === 0) {
      return;
    }
    this.#queued += bytes.length;
    this.#target.budget?.take(bytes.length);
    this.#target.write(
      bytes,
      () => {
        this.#queued -= bytes.length;
        this.#target.budget?.give(bytes.length);
        this.#letHeldIn();
        this.#endWhenWritten();
      },
      place,
    );
  }

  #endWhenWritten(): void {
    if (this.#closed && this.#queued === 0) {
      this.#target.end();
    }
  }

  #letHeldIn(): void {
    for (let next = this.#held[0]; next !== undefined; next = this.#held[0]) {
      // Counted as accepted from here on, unless it has to wait on.
      this.#target.budget?.give(next.bytes);
      try {
        const result = next.tryNow();
        if (result === undefined) {
          this.#target.budget?.take(next.bytes);
          return;
        }
        next.resolve(result);
      } catch (error) {
        next.reject(error);
      }
      this.#held.shift();
    }
  }

  #tellFull(): void {
    if (this.#toldFull) {
      return;
    }
    this.#toldFull = true;
    this.#target.onQueueFull();
  }
}
