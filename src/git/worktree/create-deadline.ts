import { performance } from 'node:perf_hooks';
import { WorktreeFailure } from './failures.ts';

/** `timeoutMs`, counted from the add. */
export class Deadline {
  readonly #timeoutMs: bigint;
  #at = Number.POSITIVE_INFINITY;

  constructor(timeoutMs: bigint) {
    this.#timeoutMs = timeoutMs;
  }

  get isSet(): boolean {
    return this.#timeoutMs > 0n;
  }

  start(): void {
    if (this.isSet) {
      this.#at = performance.now() + Number(this.#timeoutMs);
    }
  }

  /** `undefined`: no limit. At least 1, because 0 means none to the runner. */
  get leftMs(): number | undefined {
    return this.isSet ? Math.max(1, this.#at - performance.now()) : undefined;
  }

  /** A timer may fire a little before the clock says so. */
  get hasPassed(): boolean {
    return performance.now() + 2 >= this.#at;
  }

  failure(where: string, text?: string): WorktreeFailure {
    const detail = text === undefined ? '' : `: ${text}`;
    return new WorktreeFailure(
      `git worktree add timed out after ${this.#timeoutMs}ms (deadline expired ${where})${detail}`,
      'timeout',
    );
  }
}
