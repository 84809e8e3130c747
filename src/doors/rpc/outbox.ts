/**
 * What one connection still has to send: replies first, then the frames of its feeds in turn. Frames stay in the
 * processes' windows until the socket has room, so a slow reader costs nobody anything (spec wire.md §2).
 */
import type { Socket } from 'node:net';
import type { Feed } from '../../engine/local/feed.ts';
import type { WireTap } from './wire-tap.ts';

/** Bytes handed to the socket and not yet taken by the kernel; more frames wait in their windows. */
const highWaterBytes = 1024 * 1024;
/** Replies or frames handed over in one write; a longer reply goes alone. */
const writeBytes = 256 * 1024;

export interface OutboxOptions {
  /** Sees every frame as it is handed to the socket. */
  readonly tap?: WireTap | undefined;
  /** `Transport.sendNow`; `undefined`: everything goes through the socket's queue. */
  readonly sendNow?: ((socket: Socket, bytes: Buffer) => number) | undefined;
}

export class Outbox {
  readonly #socket: Socket;
  readonly #onDrain: () => void;
  readonly #tap: WireTap | undefined;
  readonly #sendNow: OutboxOptions['sendNow'];
  readonly #feeds = new Set<Feed>();
  /** Feeds that may have frames, in the order of their turn. */
  readonly #ready = new Set<Feed>();
  /** Feeds that have promised a replay. */
  readonly #promising = new Set<Feed>();
  #replies: string[] = [];
  #replyBytes = 0;
  #scheduled = false;
  #collecting = false;
  #flushing = false;
  #closed = false;
  #bytesSentNow = 0;

  /** @param onDrain runs whenever bytes have left */
  constructor(socket: Socket, onDrain: () => void, { tap, sendNow }: OutboxOptions = {}) {
    this.#socket = socket;
    this.#onDrain = onDrain;
    this.#tap = tap;
    this.#sendNow = sendNow;
  }

  /** Bytes that have left past the socket's queue, which does not count them. */
  get bytesSentNow(): number {
    return this.#bytesSentNow;
  }

  /** Bytes of replies that the client has not taken. */
  get unsentReplyBytes(): number {
    return this.#replyBytes;
  }

  /** Bytes of replays that are still to be sent. */
  get promisedBytes(): number {
    let bytes = 0;
    for (const feed of this.#promising) {
      if (feed.promisedBytes === 0) {
        this.#promising.delete(feed);
      }
      bytes += feed.promisedBytes;
    }
    return bytes;
  }

  /** Whether everything has left. */
  get empty(): boolean {
    return this.#replyBytes === 0 && this.promisedBytes === 0 && this.#socket.writableLength === 0;
  }

  /** Queues one frame, its newline included. It leaves with `flush`, at the latest at the end of this loop turn. */
  reply(frame: string): void {
    if (this.#closed) {
      return;
    }
    this.#replies.push(frame);
    this.#replyBytes += frame.length;
    this.#schedule();
  }

  add(feed: Feed): void {
    this.#feeds.add(feed);
  }

  remove(feed: Feed): void {
    this.#feeds.delete(feed);
    this.#ready.delete(feed);
    this.#promising.delete(feed);
  }

  get feeds(): Iterable<Feed> {
    return this.#feeds;
  }

  /**
   * The feed has frames to take.
   * @param more whether it is about to have some more, so that they may leave together
   */
  wake(feed: Feed, more: boolean): void {
    if (this.#closed || !this.#feeds.has(feed)) {
      return;
    }
    this.#ready.add(feed);
    if (feed.promisedBytes > 0) {
      this.#promising.add(feed);
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

  /** Writes as much as the socket takes: the replies of a turn in few writes, the frames of a feed in few writes. */
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
        if (this.#replies.length > 0) {
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
    let count = 0;
    for (let length = 0; count < this.#replies.length && length < writeBytes; count++) {
      length += this.#replies[count].length;
    }
    const frames = this.#replies.splice(0, count);
    this.#tap?.sent(frames);
    const text = frames.join('');
    this.#write(Buffer.from(text), () => {
      this.#replyBytes -= text.length;
    });
  }

  /** @returns whether there was anything to write, frames or a reply that had waited for them */
  #writeFrames(): boolean {
    const [feed] = this.#ready;
    if (feed === undefined) {
      return false;
    }
    this.#ready.delete(feed);
    const view = feed.take(writeBytes);
    if (view === undefined) {
      // The feed is dry, holds still for a reply, or has dropped this connection; if it is not done it wakes us again.
      if (feed.done) {
        this.remove(feed);
      }
      return true;
    }
    this.#ready.add(feed);
    this.#tap?.sent(view.bytes);
    this.#write(view.bytes, view.release);
    return true;
  }

  /** Forgets everything unsent. */
  close(): void {
    this.#closed = true;
    this.#replies = [];
    this.#replyBytes = 0;
    this.#ready.clear();
    this.#promising.clear();
    this.#feeds.clear();
  }
}
