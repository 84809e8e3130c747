/** Starting the daemon out of reach of the terminal it was started from. Part of `Host`. */
import type { Variable } from './started-with.ts';

export interface DetachRequest {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: readonly Variable[];
  /** Descriptor for stdout and stderr; `undefined`: keep ours. */
  readonly logFd: number | undefined;
  /** Bytes the child reads from an inherited pipe until end of file; `undefined`: no such pipe. */
  readonly secret: Buffer | undefined;
  /** How the child learns the numbers of the inherited descriptors (or handles). */
  readonly statusVariable: string;
  readonly secretVariable: string;
}

export interface Detached {
  readonly pid: number;
  /** Notes for stderr, e.g. a start that had to go without breakaway. */
  readonly notes: readonly string[];
  /** Everything the child writes to its status pipe; ends when the child closed it or died. */
  readonly status: AsyncIterable<Buffer>;
  /** `exit status 3`, `signal: killed`; `undefined` while it lives. Non-blocking. */
  exitText(): string | undefined;
  /** Stops watching, so that the launcher can end. */
  release(): void;
}
