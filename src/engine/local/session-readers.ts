/** Who reads one process: one receiver, whose place another reader can take, and any number of observers. */
import type { Mark } from '../mark.ts';
import type { Reader, ReaderRole } from '../session-engine.ts';
import { Feed, type FeedOwner } from './feed.ts';
import type { ReplayWindow } from './replay-window.ts';

export interface ReadersOwner {
  readonly id: string;
  readonly window: ReplayWindow;
  /** The newest frame is the exit frame. */
  readonly isComplete: boolean;
  /** Another reader receives from now on, or none. */
  receiverChanged(before: Feed | undefined, now: Feed | undefined): void;
  /** The receiver has taken frames. */
  receiverTook(): void;
}

export class SessionReaders implements FeedOwner {
  readonly #owner: ReadersOwner;
  #receiver: Feed | undefined;
  /** Most processes are never observed. */
  #observers: Set<Feed> | undefined;
  #exitSeenAt: number | undefined;

  constructor(owner: ReadersOwner) {
    this.#owner = owner;
  }

  get id(): string {
    return this.#owner.id;
  }

  get window(): ReplayWindow {
    return this.#owner.window;
  }

  get receiver(): Feed | undefined {
    return this.#receiver;
  }

  get observerCount(): number {
    return this.#observers?.size ?? 0;
  }

  /** Whether a receiver has taken the exit frame. */
  get exitSeen(): boolean {
    return this.#exitSeenAt !== undefined;
  }

  /** `performance.now()` of that; of the first time. */
  get exitSeenAt(): number | undefined {
    return this.#exitSeenAt;
  }

  // ---- coming

  /** The first receiver; `first`, if there is any, comes before everything. @returns the mark before every frame */
  open(reader: Reader, first: Promise<void> | undefined): Mark {
    const feed = this.#receive(reader);
    if (first !== undefined) {
      feed.waitFor(first);
    }
    return feed.markHere();
  }

  /** Replays frames from `fromSeq + 1` on. @returns the mark behind them and before the live frames */
  attach(reader: Reader, role: ReaderRole, fromSeq: number): Mark {
    return (role === 'receiver' ? this.#receive(reader) : this.#observe(reader)).replay(fromSeq);
  }

  /** @returns the feed of the only receiver, the same one when the reader is attached already */
  #receive(reader: Reader): Feed {
    if (this.#receiver?.reader === reader) {
      return this.#receiver;
    }
    const old = this.#receiver;
    const feed = new Feed(this, reader, 'receiver');
    this.#setReceiver(feed);
    reader.attached(feed);
    if (old !== undefined) {
      // What an unfinished reattach has promised the old reader is still sent; nothing newer is.
      old.stopLive();
      old.reader.replaced(old);
    }
    return feed;
  }

  #observe(reader: Reader): Feed {
    const known = this.#observing(reader);
    if (known !== undefined) {
      return known;
    }
    const feed = new Feed(this, reader, 'observer');
    this.#observers ??= new Set();
    this.#observers.add(feed);
    reader.attached(feed);
    return feed;
  }

  #observing(reader: Reader): Feed | undefined {
    return [...(this.#observers ?? [])].find((feed) => feed.reader === reader);
  }

  #setReceiver(feed: Feed | undefined): void {
    const before = this.#receiver;
    this.#receiver = feed;
    this.#owner.receiverChanged(before, feed);
  }

  // ---- reading

  /** There are frames to take. @param more whether more are about to come in this turn of the loop */
  ready(more?: boolean): void {
    this.#receiver?.ready(more);
    if (this.#observers !== undefined) {
      for (const feed of this.#observers) {
        feed.ready(more);
      }
    }
  }

  /** Frame `seq` is about to leave the window. */
  evicting(seq: number): void {
    for (const feed of this.#observers ?? []) {
      feed.evicting(seq);
    }
    this.#receiver?.evicting(seq);
  }

  taken(feed: Feed): void {
    if (feed === this.#receiver) {
      this.#owner.receiverTook();
    }
  }

  seen(feed: Feed, lastSeq: number): void {
    if (feed === this.#receiver && this.#owner.isComplete && lastSeq === this.window.lastSeq) {
      this.#exitSeenAt ??= performance.now();
    }
  }

  /** Whether `reader` is the receiver. */
  isReceivedBy(reader: Reader): boolean {
    return this.#receiver?.reader === reader;
  }

  /** A mark behind the newest frame for a reader of this process, if it will come so far. */
  markEnd(reader: Reader | undefined): Mark | undefined {
    return reader === undefined
      ? undefined
      : this.#all()
          .find((feed) => feed.reader === reader)
          ?.markBehind(this.window.lastSeq);
  }

  /** Resolves once `reader` has taken the newest frame, if it is the receiver. */
  async endTakenBy(reader: Reader): Promise<void> {
    if (this.#receiver?.reader === reader) {
      await this.#receiver.whenTaken(this.window.lastSeq);
    }
  }

  /**
   * Frames before this one may go when memory is short: nobody receives them any more, or whoever does has stopped reading.
   * @param stallMs with no byte taken for so long a receiver has stopped
   */
  expendableBefore(stallMs: number): number {
    return this.#receiver?.expendableBefore(stallMs) ?? Number.POSITIVE_INFINITY;
  }

  // ---- going

  /** Output goes on being kept. */
  left(feed: Feed): void {
    if (this.#receiver === feed) {
      this.#setReceiver(undefined);
    }
    this.#observers?.delete(feed);
  }

  /** @returns whether the reader did observe this process */
  unobserve(reader: Reader): boolean {
    const feed = this.#observing(reader);
    feed?.leave();
    if (feed !== undefined) {
      reader.over(feed);
    }
    return feed !== undefined;
  }

  /** Takes the process away from its readers at once: its id was used again. */
  drop(): void {
    for (const feed of this.#all()) {
      feed.leave();
      feed.reader.over(feed);
    }
  }

  /**
   * The table has let go of this process and it will write no more. Its readers get what is left of it and hold its frames
   * no longer than that takes.
   */
  finish(): void {
    const feeds = this.#all();
    if (this.#receiver !== undefined) {
      this.#setReceiver(undefined);
    }
    this.#observers?.clear();
    for (const feed of feeds) {
      feed.finish();
    }
  }

  #all(): Feed[] {
    const observers = this.#observers ?? [];
    return this.#receiver === undefined ? [...observers] : [this.#receiver, ...observers];
  }
}
