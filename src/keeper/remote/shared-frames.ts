/**
 * Frames that lie in memory of the keeper: they are sent to clients from where they are, and the keeper is told when they are not
 * needed any more (docs/keeper.md "Frames in shared memory").
 */
import type { ReadMemory, SharedMemory } from '../../../platform/shared-memory.ts';
import { failpoint } from '../../base/failpoints.ts';
import type { Channel } from '../channel/channel.ts';
import { ChannelError } from '../channel/message-reader.ts';
import type { SentMemory } from '../channel/values.ts';

/** Frames that are not needed any more are told at the latest after so many, or so soon. The keeper is in no hurry. */
const tellFreed = 16;
const tellFreedMs = 200;

/** What one channel has shown. */
export class SharedFrames {
  readonly #channel: Channel;
  readonly #memory: ReadMemory;
  readonly #segmentBytes: number;
  readonly #segments = new Map<number, Buffer>();
  readonly #onSettled: () => void;
  /** Number of the last frames that came; the keeper counts them as we do. */
  #last = 0;
  #held = 0;
  #freed: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * @param keeper its pid
   * @param onSettled nothing that came over this channel is needed any more, and the channel has ended
   * @throws SystemCallError
   */
  constructor(channel: Channel, keeper: number, told: SentMemory, memory: SharedMemory, onSettled: () => void) {
    if (!Number.isSafeInteger(told.segmentBytes) || told.segmentBytes <= 0) {
      throw new ChannelError(`shared memory with segments of ${told.segmentBytes} bytes`);
    }
    this.#channel = channel;
    this.#segmentBytes = told.segmentBytes;
    this.#onSettled = onSettled;
    this.#memory = memory.open(keeper, told.address, told.segmentBytes);
  }

  /** Frames and segments that lie there. @throws ChannelError, SystemCallError */
  came(at: number, bytes: number): { readonly bytes: Buffer; free(): void } {
    const index = Math.floor(at / this.#segmentBytes);
    const start = at - index * this.#segmentBytes;
    if (
      !(Number.isSafeInteger(at) && Number.isSafeInteger(bytes) && bytes > 0 && start + bytes <= this.#segmentBytes)
    ) {
      throw new ChannelError(`frames of ${bytes} bytes at ${at} of shared memory`);
    }
    const view = this.#segment(index).subarray(start, start + bytes);
    this.#last++;
    this.#held++;
    const number = this.#last;
    return { bytes: view, free: () => this.#free(number) };
  }

  #segment(index: number): Buffer {
    let segment = this.#segments.get(index);
    if (segment === undefined) {
      segment = this.#memory.segment(index);
      this.#segments.set(index, segment);
    }
    return segment;
  }

  #free(number: number): void {
    this.#held--;
    if (this.#closed) {
      this.#settleIfFree();
      return;
    }
    this.#freed.push(number);
    if (this.#freed.length >= tellFreed) {
      this.#tell();
    } else {
      this.#timer ??= setTimeout(() => this.#tell(), tellFreedMs);
    }
  }

  #tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const freed = this.#freed;
    this.#freed = [];
    failpoint('channel.freed.before');
    this.#channel.send('freed', 0, freed);
  }

  /** The channel has ended. Clients may still be sent what has come. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#segments.clear();
    this.#memory.close();
    this.#settleIfFree();
  }

  #settleIfFree(): void {
    if (this.#held === 0) {
      this.#onSettled();
    }
  }
}
