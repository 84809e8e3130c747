/** A reader of the daemon's, as the engine in the keeper knows it, and its streams with what is on its way of each. */
import { failpoint } from '../../base/failpoints.ts';
import type { FrameStream, Frames, Reader, StreamItem } from '../../engine/session-engine.ts';
import type { Channel } from '../channel/channel.ts';
import type { SentShared } from '../channel/values.ts';
import type { LentFrames } from './lent-frames.ts';

/** Bytes of frames of one stream that may be on their way or wait in the daemon. */
const aheadBytes = 512 * 1024;
/** With more than this unsent on the channel, no frames are taken. */
const highWaterBytes = 1024 * 1024;
/** Fewer bytes cross the channel: that costs less than telling where they lie and that they are not needed any more. */
const leastSharedBytes = 4 * 1024;

export interface ReaderHost {
  readonly channel: Channel;
  /** Frames are taken in pieces of about so many bytes. */
  readonly pieceBytes: number;
  /** Frames that the daemon reads where they lie; `undefined`: it does not. */
  readonly lent: LentFrames | undefined;
  nextStreamId(): number;
  /** The stream has something to take. @param more whether more is about to come in this turn of the loop */
  wake(stream: HostedStream, more: boolean): void;
  added(stream: HostedStream): void;
  removed(stream: HostedStream): void;
}

export class HostedReader implements Reader {
  readonly id: number;
  readonly confirms = true;
  readonly streams = new Map<unknown, HostedStream>();
  readonly #host: ReaderHost;
  #progress = 0;
  /** Calls that name it and are not answered. */
  calls = 0;

  constructor(id: number, host: ReaderHost) {
    this.id = id;
    this.#host = host;
  }

  attached(stream: FrameStream): void {
    const hosted = new HostedStream(this.#host.nextStreamId(), stream, this, this.#host);
    this.streams.set(stream, hosted);
    this.#host.added(hosted);
    this.#host.channel.send('attached', hosted.id, { reader: this.id, process: stream.processId, role: stream.role });
  }

  ready(stream: FrameStream, more: boolean): void {
    const hosted = this.streams.get(stream);
    if (hosted !== undefined) {
      this.#host.wake(hosted, more);
    }
  }

  fellBehind(stream: FrameStream, seq: number): void {
    const hosted = this.streams.get(stream);
    if (hosted !== undefined && !hosted.toldBehind) {
      hosted.toldBehind = true;
      this.#host.channel.send('behind', hosted.id, seq);
    }
  }

  missed(stream: FrameStream): void {
    const hosted = this.streams.get(stream);
    if (hosted !== undefined) {
      this.#host.channel.send('behind', hosted.id, 0);
    }
  }

  replaced(stream: FrameStream): void {
    this.#tell('replaced', stream);
  }

  over(stream: FrameStream): void {
    this.#tell('over', stream);
    this.streams.get(stream)?.remove();
  }

  lost(): void {}

  /** The daemon's side of the mark knows the reply. */
  unplaced(): void {}

  #tell(what: 'replaced' | 'over', stream: FrameStream): void {
    const hosted = this.streams.get(stream);
    if (hosted !== undefined) {
      this.#host.channel.send(what, hosted.id);
    }
  }

  /** The last number that the daemon has told; it is asked for the next one. */
  progress(): number {
    const [stream] = this.streams.values();
    if (stream !== undefined) {
      this.#host.channel.send('askProgress', stream.id);
    }
    return this.#progress;
  }

  progressTold(progress: number): void {
    this.#progress = progress;
  }

  /** The daemon is gone, and its readers with it. */
  leave(): void {
    for (const stream of [...this.streams.values()]) {
      stream.leave();
    }
  }
}

export class HostedStream {
  readonly id: number;
  readonly reader: HostedReader;
  /** The receiver fell out of the window, which is told once. */
  toldBehind = false;
  readonly #stream: FrameStream;
  readonly #host: ReaderHost;
  /** Bytes sent that the client has not taken. */
  #ahead = 0;
  /** Promised bytes that the daemon knows of and has not been sent. */
  #promised = 0;

  constructor(id: number, stream: FrameStream, reader: HostedReader, host: ReaderHost) {
    this.id = id;
    this.#stream = stream;
    this.reader = reader;
    this.#host = host;
  }

  /** Sends what may be sent now. @returns whether it may have more for which there is only no room on the channel */
  pump(): boolean {
    this.tellPromised();
    while (this.#ahead < aheadBytes) {
      if (this.#host.channel.unsentBytes > highWaterBytes) {
        return true;
      }
      const promisedBefore = this.#stream.promisedBytes;
      const item = this.#stream.take(this.#host.pieceBytes);
      if (item === undefined) {
        break;
      }
      this.#send(item, this.#stream.promisedBytes < promisedBefore);
    }
    if (this.#stream.done) {
      this.#host.channel.send('done', this.id);
      this.remove();
    }
    return false;
  }

  /** The daemon counts what has been promised to its client before it answers. */
  tellPromised(): void {
    const { promisedBytes } = this.#stream;
    if (promisedBytes > this.#promised) {
      this.#promised = promisedBytes;
      this.#host.channel.send('promised', this.id, promisedBytes);
    }
  }

  #send(item: StreamItem, isPromised: boolean): void {
    const { channel } = this.#host;
    if (item.kind === 'reply') {
      channel.send('mark', this.id, Number(item.reply));
    } else if (item.kind === 'gap') {
      channel.send('gap', this.id, [item.from, item.to]);
    } else {
      this.#sendFrames(item, isPromised);
    }
  }

  #sendFrames({ bytes, firstSeq, lastSeq, sharedAt, release }: Frames, isPromised: boolean): void {
    failpoint('keeper.frames.before');
    this.#ahead += bytes.length;
    if (isPromised) {
      this.#promised -= bytes.length;
    }
    const { channel, lent } = this.#host;
    if (lent !== undefined && sharedAt !== undefined && bytes.length >= leastSharedBytes) {
      const place: SentShared = [firstSeq, lastSeq, isPromised ? 1 : 0, sharedAt, bytes.length];
      lent.lend(release);
      failpoint('keeper.shared.before');
      channel.send('shared', this.id, place);
    } else {
      channel.send('frames', this.id, isPromised ? [firstSeq, lastSeq, 1] : [firstSeq, lastSeq], bytes, release);
    }
  }

  /** The client has taken so many bytes, up to this frame. */
  taken(bytes: number, lastSeq: number): void {
    this.#ahead -= bytes;
    failpoint('keeper.taken.before');
    this.#stream.confirm(lastSeq);
    this.#host.wake(this, false);
  }

  stopLive(): void {
    this.#stream.stopLive();
    this.#host.wake(this, false);
  }

  leave(): void {
    this.#stream.leave();
    this.remove();
  }

  /** Nothing of it is sent any more. */
  remove(): void {
    this.reader.streams.delete(this.#stream);
    this.#host.removed(this);
  }
}
