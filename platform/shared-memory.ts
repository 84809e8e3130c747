/**
 * Memory that one process writes and another one of the same user reads, in segments of one size. Part of `Platform`. It has no
 * name in any folder and ends with the processes that use it.
 */

export interface SharedMemory {
  /** @param segmentBytes a multiple of 64 KiB. @throws SystemCallError */
  create(segmentBytes: number): WrittenMemory;
  /**
   * @param owner pid of the process that has made it
   * @param address as that process has told it; whatever it says, no more than memory of this kind is opened
   * @throws SystemCallError
   */
  open(owner: number, address: string, segmentBytes: number): ReadMemory;
}

export interface WrittenMemory {
  /** What another process gives to `open`. */
  readonly address: string;
  /** One segment more, of zeros. It is never unmapped. @throws SystemCallError */
  addSegment(): Buffer;
  /** The bytes are not needed until they are written again: the system gets whole pages of them back, where it can. */
  discard(bytes: Buffer): void;
}

export interface ReadMemory {
  /**
   * To be read only: whoever writes to it is killed. It is unmapped when nobody holds the buffer any more.
   * @throws SystemCallError also for a segment that is not there
   */
  segment(index: number): Buffer;
  /** No further segment is asked for. */
  close(): void;
}
