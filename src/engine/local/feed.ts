/**
 * One connection's place in one process's frames: first what a reattach has promised, then the live frames
 * (spec process.md §8, wire.md §2 "slow reader").
 */
import { type Cursor, type FrameView, Promised, type ReplayWindow } from './window.ts';

/** What a connection does for a feed. */
export interface FeedOwner {
  /** The feed is this connection's from now on, until it is replaced, gone, or left. */
  feedAttached(feed: Feed): void;
  /**
   * There is something to take; frames are fetched when the socket has room.
   * @param more whether more is about to come in this turn of the loop
   */
  feedReady(feed: Feed, more: boolean): void;
  /** The reader fell out of the window: frame `seq` is gone before it was sent. */
  feedFellBehind(feed: Feed, seq: number): void;
  /** Another connection took the process over. */
  feedReplaced(feed: Feed): void;
  /** The process is no longer this connection's business: its id was used again, or it was forgotten. */
  feedGone(feed: Feed): void;
}

interface Stage {
  readonly frames: Promised;
  /** Called once every frame of the stage was taken. */
  readonly onSent: () => void;
}

export class Feed {
  readonly processId: string;
  readonly owner: FeedOwner;
  readonly #onLeave: (feed: Feed) => void;
  readonly #window: ReplayWindow;
  readonly #live: Cursor;
  #stages: Stage[] = [];
  /** Replies that must be queued before the next frame is taken. */
  #holds = 0;
  #ended = false;
  #wantsLive = true;
  /** The next live frame is gone; told once what was promised has been sent. */
  #fellBehind = false;

  /** Starts behind the newest frame. */
  constructor(processId: string, owner: FeedOwner, window: ReplayWindow, onLeave: (feed: Feed) => void) {
    this.processId = processId;
    this.owner = owner;
    this.#onLeave = onLeave;
    this.#window = window;
    this.#live = window.cursorAt(window.lastSeq + 1);
  }

  /**
   * Promises frames `fromSeq + 1 … lastSeq` and whatever is still owed before them. The feed then holds still until
   * `release`, so that the reply is queued between the replay and the live frames.
   * @param whenSent runs when all of it was taken; queues the reply
   */
  replay(fromSeq: number, whenSent: () => void): void {
    const { lastSeq } = this.#window;
    // What is owed comes first; the replay may repeat it, which clients expect.
    if (!this.#fellBehind) {
      this.#promiseOwed();
    }
    this.#stages.push({
      frames: new Promised(this.#window, fromSeq + 1, lastSeq),
      onSent: () => {
        this.hold();
        whenSent();
      },
    });
    // From here on the reader is as good as any other: what it missed before is what this replay is for.
    this.#live.moveTo(lastSeq + 1);
    this.#fellBehind = false;
    this.ready();
  }

  /** No frame leaves until as many `release` calls have come. */
  hold(): void {
    this.#holds++;
  }

  release(): void {
    this.#holds--;
    this.ready();
  }

  /** Frames may be there, and perhaps more in a moment. */
  ready(more = true): void {
    if (!this.#ended) {
      this.owner.feedReady(this, more);
    }
  }

  /** Bytes promised and not yet taken. */
  get promisedBytes(): number {
    let bytes = 0;
    for (const { frames } of this.#stages) {
      bytes += frames.bytesLeft;
    }
    return bytes;
  }

  /** The next frames in order; `undefined` when there are none now. */
  take(maxBytes: number): FrameView | undefined {
    while (!this.#ended && this.#holds === 0 && this.#stages.length > 0) {
      const [stage] = this.#stages;
      const view = stage.frames.take(maxBytes);
      if (view !== undefined) {
        return view;
      }
      this.#stages.shift();
      stage.onSent();
    }
    if (this.#ended || this.#holds > 0 || !this.#wantsLive) {
      return undefined;
    }
    if (this.#fellBehind) {
      this.owner.feedFellBehind(this, this.#live.next);
      return undefined;
    }
    return this.#live.take(maxBytes);
  }

  /** Called by the session before frame `seq` leaves the window. A promised replay is completed first, whatever comes. */
  evicting(seq: number): void {
    if (this.#ended || !this.#wantsLive || this.#live.next > seq) {
      return;
    }
    this.#fellBehind = true;
    if (this.#stages.length === 0 && this.#holds === 0) {
      this.owner.feedFellBehind(this, this.#live.next);
    }
  }

  /** What was promised is still sent, nothing after it (the client has ended its half, or another one took over). */
  stopLive(): void {
    this.#wantsLive = false;
  }

  /** The process will write no more: what it has written is still sent, then the feed is done. */
  finish(): void {
    // A reader that fell behind is still to be told.
    if (this.#fellBehind) {
      return;
    }
    this.#promiseOwed();
    this.#wantsLive = false;
    this.ready();
  }

  /** Frames this connection was still waiting for. */
  #promiseOwed(): void {
    const owed = new Promised(this.#window, this.#live.next, this.#window.lastSeq);
    if (owed.bytesLeft > 0) {
      this.#stages.push({ frames: owed, onSent: () => {} });
    }
  }

  /** Whether nothing will come any more. */
  get done(): boolean {
    return this.#ended || (!this.#wantsLive && this.#stages.length === 0);
  }

  /** The connection wants no more of this process. */
  leave(): void {
    this.end();
    this.#onLeave(this);
  }

  /** Nothing is sent any more; requests that waited for their replay are answered. */
  end(): void {
    this.#ended = true;
    const stages = this.#stages;
    this.#stages = [];
    for (const { frames, onSent } of stages) {
      frames.drop();
      onSent();
    }
  }
}
