/**
 * What one connection still has to send: replies first, then the frames of its feeds in turn. Frames stay in the
 * processes' windows until the socket has room, so a slow reader costs nobody anything (spec wire.md §2).
 */
import type { Socket } from 'node:net';
import type { Feed } from '../sessions/feed.ts';
import type { WireTap } from './wire-tap.ts';

/** Bytes handed to the socket and not yet taken by the kernel; more frames wait in their windows. */
const highWaterBytes = 1024 * 1024;
/** Replies or frames handed over in one write; a longer reply goes alone. */
const writeBytes = 256 * 1024;

export class Outbox {
  readonly #socket: Socket;
  readonly #onDrain: () => void;
  readonly #tap: WireTap | undefined;
  readonly #feeds = new Set<Feed>();
  /** Feeds that may have frames, in the order of their turn. */
  readonly #ready = new Set<Feed>();
  /** Feeds that have promised a replay. */
  readonly #promising = new Set<Feed>();
  #replies: string[] = [];
  #replyBytes = 0;
  #scheduled = false;
  #closed = false;

  /**
   * @param onDrain runs whenever bytes have left
   * @param tap sees every frame as it is handed to the socket
   */
  constructor(socket: Socket, onDrain: () => void, tap?: WireTap) {
    this.#socket = socket;
    this.#onDrain = onDrain;
    this.#tap = tap;
  }

  /** Bytes of replies that the client has not taken. */
  get unsentReplyBytes(): number {
    return this.#replyBytes;
  }

  /** Bytes of replays that are still to be sent. */
  get promisedBytes(): number {
    let bytes = 0;
    for (const feed of this.#promising) {
      if (feed.promisedBytes === 0) this.#promising.delete(feed);
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
    if (this.#closed) return;
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

  /** The feed has frames to take. */
  wake(feed: Feed): void {
    if (this.#closed || !this.#feeds.has(feed)) return;
    this.#ready.add(feed);
    if (feed.promisedBytes > 0) this.#promising.add(feed);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#scheduledFlush);
  }

  readonly #scheduledFlush = (): void => {
    this.#scheduled = false;
    this.flush();
  };

  /** Writes as much as the socket takes: the replies of a turn in few writes, the frames of a feed in few writes. */
  flush(): void {
    while (!this.#closed && this.#socket.writableLength < highWaterBytes) {
      if (this.#replies.length > 0) this.#writeReplies();
      else if (!this.#writeFrames()) return;
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
    this.#socket.write(text, () => {
      this.#replyBytes -= text.length;
      this.#sent();
    });
  }

  /** @returns whether there was anything to write, frames or a reply that had waited for them */
  #writeFrames(): boolean {
    const [feed] = this.#ready;
    if (feed === undefined) return false;
    this.#ready.delete(feed);
    const view = feed.take(writeBytes);
    if (view === undefined) {
      // The feed is dry, holds still for a reply, or has dropped this connection; if it is not done it wakes us again.
      if (feed.done) this.remove(feed);
      return true;
    }
    this.#ready.add(feed);
    this.#tap?.sent(view.bytes);
    this.#socket.write(view.bytes, () => {
      view.release();
      this.#sent();
    });
    return true;
  }

  #sent(): void {
    this.flush();
    this.#onDrain();
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
