/** Frames of one process that lie next to each other: in memory (slab.ts), or in its spool (spool.ts). */
import type { Frames } from '../session-engine.ts';

export interface KeptFrames {
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** The newer ones, where whoever keeps them knows at once. */
  readonly next: KeptFrames | undefined;
  /** Whether frame `seq` is kept here. What is not kept any more is for those only who have pinned it. */
  holds(seq: number): boolean;
  /** Bytes of the frames `first ... last`. @throws SpoolReadError */
  size(first: number, last: number): number;
  /** Frames from `first` on, not beyond `last`: about `maxBytes` of them, and at least one. @throws SpoolReadError */
  view(first: number, last: number, maxBytes: number): Frames;
  /** Somebody needs these frames, until `unpin`. */
  pin(): void;
  unpin(): void;
}

/** Frames that were written to a file and cannot be read there. */
export class SpoolReadError extends Error {
  override readonly name = 'SpoolReadError';
}
