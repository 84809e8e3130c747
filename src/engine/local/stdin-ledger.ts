/**
 * Counts the bytes accepted for a child's stdin, so that a client can repeat a request without anything running twice
 * (spec process.md §5). `applied` is the promise: every byte below it was accepted exactly once.
 */
import { RpcError } from '../../doors/rpc/errors.ts';
import type { Profile } from '../../wire/profile.ts';

export type StdinReply = {
  readonly success: true;
  readonly applied: number;
  readonly duplicate: true | undefined;
};

export interface StdinTarget {
  /** Whether the process counts as running (profile row `process.runningFlipsAt`). */
  isRunning(): boolean;
  write(bytes: Buffer, done: () => void): void;
  /** The limit was reached for the first time. */
  onQueueFull(): void;
  /** Bytes were refused because of it. */
  onRefused?(bytes: number): void;
}

interface Held {
  readonly data: Buffer;
  readonly offset: bigint | undefined;
  readonly resolve: (reply: StdinReply) => void;
  readonly reject: (error: RpcError) => void;
}

export class StdinLedger {
  readonly #rules: Profile['process'];
  readonly #target: StdinTarget;
  #applied = 0;
  #queued = 0;
  #held: Held[] = [];
  #toldFull = false;

  constructor(rules: Profile['process'], target: StdinTarget) {
    this.#rules = rules;
    this.#target = target;
  }

  /** Decoded bytes accepted so far. */
  get applied(): number {
    return this.#applied;
  }

  /**
   * Accepts `data`, or refuses it and changes nothing.
   * @throws RpcError also through the promise, which is only returned where the profile holds replies back
   */
  offer(data: Buffer, offset: bigint | undefined): StdinReply | Promise<StdinReply> {
    if (this.#held.length > 0) {
      return this.#hold(data, offset);
    }
    return this.#tryOffer(data, offset) ?? this.#hold(data, offset);
  }

  /** The process has ended: what waits for room is answered. */
  processEnded(): void {
    const waiting = this.#held;
    this.#held = [];
    for (const { reject } of waiting) {
      reject(notRunning());
    }
  }

  /** `undefined`: the queue is full and the reply must wait. */
  #tryOffer(data: Buffer, offset: bigint | undefined): StdinReply | undefined {
    const running = this.#target.isRunning();
    if (!running && !this.#rules.stdinOffsetBeforeRunning) {
      throw notRunning();
    }
    const fresh = this.#freshBytes(data, offset);
    if (fresh === 'duplicate') {
      return { success: true, applied: this.#applied, duplicate: true };
    }
    if (!running) {
      throw notRunning();
    }
    if (this.#queued > 0 && this.#queued + fresh.length > this.#rules.stdinQueueMax) {
      this.#tellFull();
      if (this.#rules.stdinQueueFull === 'refuse') {
        this.#target.onRefused?.(fresh.length);
        throw new RpcError('stdinQueueFull', 'stdin backpressure: queue full');
      }
      return undefined;
    }
    this.#accept(fresh);
    return { success: true, applied: this.#applied, duplicate: undefined };
  }

  /** The table of spec process.md §5.2; the gap is tested first so that no sum can overflow. */
  #freshBytes(data: Buffer, offset: bigint | undefined): Buffer | 'duplicate' {
    if (offset === undefined) {
      return data;
    }
    const applied = BigInt(this.#applied);
    if (offset > applied) {
      throw new RpcError('stdinOffsetGap', 'stdin offset gap: offset ahead of applied bytes');
    }
    if (offset === applied) {
      return data;
    }
    if (offset + BigInt(data.length) <= applied) {
      return 'duplicate';
    }
    return data.subarray(Number(applied - offset));
  }

  #accept(bytes: Buffer): void {
    this.#applied += bytes.length;
    if (bytes.length === 0) {
      return;
    }
    this.#queued += bytes.length;
    this.#target.write(bytes, () => {
      this.#queued -= bytes.length;
      this.#letHeldIn();
    });
  }

  #hold(data: Buffer, offset: bigint | undefined): Promise<StdinReply> {
    const { promise, resolve, reject } = Promise.withResolvers<StdinReply>();
    this.#held.push({ data, offset, resolve, reject });
    return promise;
  }

  #letHeldIn(): void {
    while (this.#held.length > 0) {
      const [{ data, offset, resolve, reject }] = this.#held;
      try {
        const reply = this.#tryOffer(data, offset);
        if (reply === undefined) {
          return;
        }
        resolve(reply);
      } catch (error) {
        reject(error as RpcError);
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

export function notRunning(): RpcError {
  return new RpcError('invalidParams', 'Process not running');
}
