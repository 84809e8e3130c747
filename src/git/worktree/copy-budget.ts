/** How much is copied into a new worktree, so that what a repository holds can neither fill the disk nor take for ever. */
import type { Stats } from 'node:fs';
import { performance } from 'node:perf_hooks';

const limits = {
  /** Files and folders that are looked at. */
  entries: 200_000,
  bytes: 8_589_934_592,
  ms: 300_000,
  /** A larger file of which less than an eighth is on the disk is left out: a copy would be all there. */
  sparseBytes: 67_108_864,
} as const;

export class CopyBudget {
  readonly #until = performance.now() + limits.ms;
  #entries = 0;
  #bytes = 0;
  #reached: string | undefined;

  /** The limit that ended the copying, in words for the log; `undefined`: none. */
  get reached(): string | undefined {
    return this.#reached;
  }

  /** Whether one more entry may be looked at. */
  takeEntry(): boolean {
    if (++this.#entries > limits.entries) {
      this.#reached ??= `${limits.entries} files`;
    } else if (performance.now() > this.#until) {
      this.#reached ??= `${limits.ms / 60_000} minutes`;
    }
    return this.#reached === undefined;
  }

  /** Whether a file of this kind may be copied. */
  takes(status: Stats): boolean {
    if (status.size > limits.sparseBytes && status.blocks * 512 < status.size / 8) {
      return false;
    }
    return true;
  }

  /** Whether so many more bytes may be written. */
  takeBytes(count: number): boolean {
    this.#bytes += count;
    if (this.#bytes > limits.bytes) {
      this.#reached ??= `${limits.bytes} bytes`;
    }
    return this.#reached === undefined;
  }
}
