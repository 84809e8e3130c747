/** The time limit of a creation, `timeoutMs` (spec git.md §6.4.5). */
import { performance } from 'node:perf_hooks';
import { WorktreeFailure } from './failures.ts';

/** Counts from {@link start}, which is just before the add. */
export class CreateDeadline {
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

  /** `undefined`: no limit. At least 1, because 0 would mean no limit to `git-program.ts`. */
  get leftMs(): number | undefined {
    return this.isSet ? Math.max(1, this.#at - performance.now()) : undefined;
  }

  /** Two milliseconds are added, because a timer may fire a little before its time. */
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
