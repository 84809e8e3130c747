/**
 * What one connection still has to send: replies first, then the frames of its feeds in turn. Frames stay in the
 * processes' windows until the socket has room, so a slow reader costs nobody anything (spec wire.md §2).
 */
import type { Socket } from 'node:net';
import type { Feed } from '../sessions/feed.ts';

/** Bytes handed to the socket and not yet taken by the kernel; more frames wait in their windows. */
const highWaterBytes = 1024 * 1024;
/** Frames handed over in one write. */
const writeBytes = 256 * 1024;

export class Outbox {
  readonly #socket: Socket;
  readonly #onDrain: () => void;
  readonly #feeds = new Set<Feed>();
  /** Feeds that may have frames, in the order of their turn. */
  readonly #ready = new Set<Feed>();
  /** Feeds that have promised a replay; their bytes count as replies. */
  readonly #promising = new Set<Feed>();
  #replies: string[] = [];
  #replyBytes = 0;
  #scheduled = false;
  #closed = false;

  /** @param onDrain runs whenever bytes have left */
  constructor(socket: Socket, onDrain: () => void) {
    this.#socket = socket;
    this.#onDrain = onDrain;
  }

  /** Bytes of replies, promised replays among them, that the client has not taken. */
  get unsentReplyBytes(): number {
    let bytes = this.#replyBytes;
    for (const feed of this.#promising) {
      if (feed.promisedBytes === 0) this.#promising.delete(feed);
      bytes += feed.promisedBytes;
    }
    return bytes;
  }

  /** Whether everything has left. */
  get empty(): boolean {
    return this.unsentReplyBytes === 0 && this.#socket.writableLength === 0;
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

  /** Writes as much as the socket takes: all replies of a turn in one write, all frames of a feed in one write. */
  flush(): void {
    while (!this.#closed && this.#socket.writableLength < highWaterBytes) {
      if (this.#replies.length > 0) this.#writeReplies();
      else if (!this.#writeFrames()) return;
    }
  }

  #writeReplies(): void {
    const text = this.#replies.join('');
    this.#replies = [];
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
