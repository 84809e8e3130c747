/**
 * What one connection still has to send: replies first, then the frames of its streams in turn. Frames stay in the
 * processes' windows until the socket has room, so a slow reader costs nobody anything (spec wire.md §2).
 */
import type { Socket } from 'node:net';
import { type ByteCount, noByteCount } from '../../base/memory-budget.ts';
import type { Mark } from '../../engine/mark.ts';
import type { FrameStream } from '../../engine/session-engine.ts';
import { gapFrame } from './extension-frames.ts';
import type { WireTap } from './wire-tap.ts';

/** Bytes handed to the socket and not yet taken by the kernel; more frames wait in their windows. */
const highWaterBytes = 1024 * 1024;
/** Replies or frames handed over in one write; a longer reply goes alone. */
const writeBytes = 256 * 1024;
/**
 * The same where the OS does not tell what the client has not read: there a client that reads slowly is told from one that has
 * stopped by the writes it completes (spec wire.md §2 "steady reader"), so they must be short.
 */
const shortWriteBytes = 64 * 1024;

export interface OutboxOptions {
  /** `Transport.unreadBytes`; `undefined`: the OS does not tell. */
  readonly unreadBytes?: ((socket: Socket) => number | undefined) | undefined;
  /** Sees every frame as it is handed to the socket. */
  readonly tap?: WireTap | undefined;
  /** `Transport.sendNow`; `undefined`: everything goes through the socket's queue. */
  readonly sendNow?: ((socket: Socket, bytes: Buffer) => number) | undefined;
  /** Counts what the client has not taken. */
  readonly budget?: ByteCount | undefined;
}

/** A frame that is too long for one piece of memory. */
interface LongFrame {
  readonly pieces: readonly Buffer[];
  readonly bytes: number;
}

export class Outbox {
  readonly #socket: Socket;
  readonly #onDrain: () => void;
  readonly #tap: WireTap | undefined;
  readonly #sendNow: OutboxOptions['sendNow'];
  readonly #budget: ByteCount;
  /** Frames of one write. */
  readonly #frameBytes: number;
  readonly #streams = new Set<FrameStream>();
  /** Streams that may have frames, in the order of their turn. */
  readonly #ready = new Set<FrameStream>();
  /** Streams that have promised a replay. */
  readonly #promising = new Set<FrameStream>();
  #replies: (string | LongFrame)[] = [];
  /** Pieces of the frame that is being sent: nothing else goes in between. */
  #pieces: Buffer[] = [];
  #replyBytes = 0;
  /** Bytes of everything that was ever in `#replies`, and of what of it has left. */
  #queuedEver = 0;
  #leftEver = 0;
  /** Frames of `push` that have not left: where each ends among all bytes ever queued. */
  #pushes: { readonly end: number; readonly size: number }[] = [];
  #pushBytes = 0;
  #scheduled = false;
  #collecting = false;
  #flushing = false;
  #closed = false;
  #bytesSentNow = 0;

  /** @param onDrain runs whenever bytes have left */
  constructor(
    socket: Socket,
    onDrain: () => void,
    { tap, sendNow, unreadBytes, budget = noByteCount }: OutboxOptions = {},
  ) {
    this.#budget = budget;
    this.#socket = socket;
    this.#onDrain = onDrain;
    this.#tap = tap;
    this.#sendNow = sendNow;
    this.#frameBytes = unreadBytes === undefined ? shortWriteBytes : writeBytes;
  }

  /** Bytes that have left past the socket's queue, which does not count them. */
  get bytesSentNow(): number {
    return this.#bytesSentNow;
  }

  /** Bytes of replies that the client has not taken. */
  get unsentReplyBytes(): number {
    return this.#replyBytes;
  }

  /** The part of them that was pushed. */
  get unsentPushBytes(): number {
    return this.#pushBytes;
  }

  /** Bytes of replays that are still to be sent. */
  get promisedBytes(): number {
    let bytes = 0;
    for (const stream of this.#promising) {
      if (stream.promisedBytes === 0) {
        this.#promising.delete(stream);
      }
      bytes += stream.promisedBytes;
    }
    return bytes;
  }

  /** Whether everything has left. */
  get empty(): boolean {
    // A reply that waits for its place counts among the replies.
    return this.#replyBytes === 0 && this.promisedBytes === 0 && this.#socket.writableLength === 0;
  }

  /** Queues one frame, its newline included. It leaves with `flush`, at the latest at the end of this loop turn. */
  reply(frame: string): void {
    if (this.#closed) {
      return;
    }
    this.#count(frame.length);
    this.#queue(frame, frame.length);
  }

  /** The same for a frame in pieces. They are let go one by one as they leave. */
  replyInPieces(pieces: readonly Buffer[]): void {
    if (this.#closed) {
      return;
    }
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    this.#count(bytes);
    this.#queue({ pieces, bytes }, bytes);
  }

  #count(bytes: number): void {
    this.#replyBytes += bytes;
    this.#budget.take(bytes);
  }

  /** So much of the replies has left. */
  #left(bytes: number): void {
    if (this.#closed) {
      return;
    }
    this.#replyBytes -= bytes;
    this.#leftEver += bytes;
    this.#budget.give(bytes);
    this.#forgetPushes();
  }

  /** Queues a frame that answers nothing, behind everything that is queued. */
  push(frame: string): void {
    if (this.#closed) {
      return;
    }
    this.reply(frame);
    this.#pushes.push({ end: this.#queuedEver, size: frame.length });
    this.#pushBytes += frame.length;
  }

  #queue(frame: string | LongFrame, bytes: number): void {
    this.#replies.push(frame);
    this.#queuedEver += bytes;
    this.#schedule();
  }

  /** Queues a reply that leaves when its stream has come to the mark. */
  replyAt(mark: Mark, frame: string): void {
    if (this.#closed) {
      return;
    }
    this.#count(frame.length);
    if (!mark.fill(frame)) {
      this.placed(frame);
    }
  }

  /** A reply given to `replyAt` may leave: its stream has come to the mark, or has ended. */
  placed(frame: string): void {
    if (!this.#closed) {
      this.#queue(frame, frame.length);
    }
  }

  add(stream: FrameStream): void {
    this.#streams.add(stream);
  }

  remove(stream: FrameStream): void {
    this.#streams.delete(stream);
    this.#ready.delete(stream);
    this.#promising.delete(stream);
  }

  get streams(): Iterable<FrameStream> {
    return this.#streams;
  }

  /**
   * The stream has frames to take.
   * @param more whether it is about to have some more, so that they may leave together
   */
  wake(stream: FrameStream, more: boolean): void {
    if (this.#closed || !this.#streams.has(stream)) {
      return;
    }
    this.#ready.add(stream);
    if (stream.promisedBytes > 0) {
      this.#promising.add(stream);
    }
    if (more || this.#scheduled || this.#collecting) {
      this.#schedule();
    } else {
      this.flush();
    }
  }

  /** Whatever is queued from now on waits for the `flush` that is sure to come in this turn. */
  collect(): void {
    this.#collecting = true;
  }

  #schedule(): void {
    if (this.#scheduled || this.#collecting) {
      return;
    }
    this.#scheduled = true;
    setImmediate(this.#scheduledFlush);
  }

  readonly #scheduledFlush = (): void => {
    this.#scheduled = false;
    this.flush();
  };

  /** Writes as much as the socket takes: the replies of a turn in few writes, the frames of a stream in few writes. */
  flush(): void {
    this.#collecting = false;
    // What is written may be gone at once, and whoever is told so may come here again.
    if (this.#flushing) {
      return;
    }
    this.#flushing = true;
    const before = this.#bytesSentNow;
    try {
      while (!this.#closed && this.#socket.writableLength < highWaterBytes) {
        const [piece] = this.#pieces;
        if (piece !== undefined) {
          this.#pieces.shift();
          this.#write(piece, () => this.#left(piece.length));
        } else if (this.#replies.length > 0) {
          this.#writeReplies();
        } else if (!this.#writeFrames()) {
          break;
        }
      }
    } finally {
      this.#flushing = false;
    }
    if (this.#bytesSentNow > before) {
      this.#onDrain();
    }
  }

  /** @param sent runs when the kernel has all of it, perhaps at once */
  #write(bytes: Buffer, sent: () => void): void {
    const taken = this.#socket.writableLength === 0 ? (this.#sendNow?.(this.#socket, bytes) ?? 0) : 0;
    this.#bytesSentNow += taken;
    if (taken === bytes.length) {
      sent();
    } else {
      this.#socket.write(taken === 0 ? bytes : bytes.subarray(taken), () => {
        sent();
        this.flush();
        this.#onDrain();
      });
    }
  }

  #writeReplies(): void {
    const frames: string[] = [];
    let length = 0;
    for (const frame of this.#replies) {
      if (length >= writeBytes || typeof frame !== 'string') {
        break;
      }
      length += frame.length;
      frames.push(frame);
    }
    this.#replies.splice(0, frames.length);
    if (frames.length === 0) {
      this.#beginLongFrame();
      return;
    }
    this.#tap?.sent(frames);
    this.#write(Buffer.from(frames.join('')), () => this.#left(length));
  }

  #beginLongFrame(): void {
    const frame = this.#replies.shift();
    if (frame !== undefined && typeof frame !== 'string') {
      this.#tap?.sent(Buffer.concat(frame.pieces));
      this.#pieces = [...frame.pieces];
    }
  }

  /** Those that have left. */
  #forgetPushes(): void {
    let count = 0;
    for (const { end, size } of this.#pushes) {
      if (end > this.#leftEver) {
        break;
      }
      this.#pushBytes -= size;
      count++;
    }
    if (count > 0) {
      this.#pushes.splice(0, count);
    }
  }

  /** @returns whether anything was taken or found out, so that another look is worth while */
  #writeFrames(): boolean {
    const [stream] = this.#ready;
    if (stream === undefined) {
      return false;
    }
    this.#ready.delete(stream);
    const item = stream.take(this.#frameBytes);
    if (item === undefined) {
      // The stream is dry, stands still at a mark, or has dropped this connection; if it is not done it wakes us again.
      if (stream.done) {
        this.remove(stream);
      }
      return true;
    }
    this.#ready.add(stream);
    if (item.kind === 'frames') {
      this.#tap?.sent(item.bytes);
      this.#write(item.bytes, item.release);
    } else if (item.kind === 'reply') {
      this.placed(item.reply);
    } else {
      this.reply(gapFrame(stream.processId, item));
    }
    return true;
  }

  /** Forgets everything unsent. */
  close(): void {
    if (!this.#closed) {
      this.#budget.give(this.#replyBytes);
    }
    this.#closed = true;
    this.#replies = [];
    this.#pieces = [];
    this.#replyBytes = 0;
    this.#pushes = [];
    this.#pushBytes = 0;
    this.#ready.clear();
    this.#promising.clear();
    this.#streams.clear();
  }
}
