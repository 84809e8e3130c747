/**
 * Frames that lie in memory of the keeper: it tells where its memory is, and is told whether we can read there, and when
 * nothing of an earlier channel is needed any more (docs/keeper.md).
 */
import type { SharedMemory } from '../../../platform/shared-memory.ts';
import { messageOf } from '../../base/error-texts.ts';
import { failpoint } from '../../base/failpoints.ts';
import type { Log } from '../../base/log.ts';
import type { Channel } from '../channel/channel.ts';
import { ChannelError } from '../channel/message-reader.ts';
import type { SentMemory, SentShared } from '../channel/values.ts';
import type { RemoteStream } from './remote-stream.ts';
import { SharedFrames } from './shared-frames.ts';

export interface KeeperMemoryOptions {
  readonly log: Pick<Log, 'warn'>;
  /** `undefined`: all frames cross the channel. */
  readonly sharedMemory?: SharedMemory | undefined;
}

export class KeeperMemory {
  readonly #options: KeeperMemoryOptions;
  /** The channel over which a keeper has told of its memory. */
  #channel: Channel | undefined;
  /** Frames in memory of the keeper that we are connected to. */
  #frames: SharedFrames | undefined;
  /** The same of earlier channels, which clients may still be sent. */
  #unsettled = 0;
  #isDistrusted = false;

  constructor(options: KeeperMemoryOptions) {
    this.#options = options;
  }

  /** @param keeper its pid */
  told(channel: Channel, keeper: number, memory: SentMemory): void {
    const { sharedMemory, log } = this.#options;
    this.#channel = channel;
    this.#tellSettled();
    if (sharedMemory === undefined || this.#isDistrusted || this.#frames !== undefined) {
      return;
    }
    failpoint('channel.memory.before');
    try {
      this.#frames = new SharedFrames(channel, keeper, memory, sharedMemory, () => {
        this.#unsettled--;
        this.#tellSettled();
      });
      failpoint('channel.mapped.before');
      channel.send('mapped', 0);
    } catch (error) {
      this.#isDistrusted = true;
      log.warn(
        'keeper',
        `the output of pid ${keeper} cannot be read in shared memory (${messageOf(error)}); it crosses the channel as bytes, which takes more CPU time`,
      );
    }
  }

  /** Nothing of earlier channels is needed any more: a keeper that has memory may write there again. */
  #tellSettled(): void {
    if (this.#unsettled === 0) {
      this.#channel?.send('settled', 0);
    }
  }

  /** Frames for a stream, which may be over. A place that cannot be right ends the channel. */
  framesCame(
    channel: Channel | undefined,
    stream: RemoteStream | undefined,
    [firstSeq, lastSeq, isPromised, at, bytes]: SentShared,
  ): void {
    let frames: ReturnType<SharedFrames['came']>;
    try {
      if (this.#frames === undefined) {
        throw new ChannelError('frames in shared memory that was not told');
      }
      frames = this.#frames.came(at, bytes);
    } catch (error) {
      this.#isDistrusted = true;
      channel?.close(messageOf(error));
      return;
    }
    let isHeld = false;
    stream?.framesCame(frames.bytes, firstSeq, lastSeq, isPromised === 1, () => {
      isHeld = true;
      return frames.free;
    });
    if (!isHeld) {
      frames.free();
    }
  }

  /** What clients are still being sent stays readable. */
  channelEnded(): void {
    const frames = this.#frames;
    this.#channel = undefined;
    this.#frames = undefined;
    if (frames !== undefined) {
      this.#unsettled++;
      frames.close();
    }
  }
}
