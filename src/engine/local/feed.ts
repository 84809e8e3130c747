/**
 * One reader's place in one process's frames: what was promised to it first, then the live frames, and between them the
 * marks where replies belong (spec process.md §8, wire.md §2 "steady reader").
 */
import { Mark, type MarkedStream } from '../mark.ts';
import type { FrameStream, Frames, Reader, ReaderRole, StreamItem } from '../session-engine.ts';
import type { Cursor } from './cursor.ts';
import { SpoolReadError } from './kept-frames.ts';
import { PinnedReplay } from './pinned-replay.ts';
import type { ReplayWindow } from './replay-window.ts';
import { Gate, pass, type Stop, standsStill } from './stop.ts';

/** What a feed reports to its session. */
export interface FeedOwner {
  readonly id: string;
  readonly window: ReplayWindow;
  /** The reader has taken frames. */
  taken(feed: Feed): void;
  /** Its client has every frame up to this one. */
  seen(feed: Feed, lastSeq: number): void;
  /** The reader wants no more than what was promised to it. */
  left(feed: Feed): void;
}

interface Stage {
  readonly frames: PinnedReplay;
  /** Stands behind the frames. */
  readonly stop: Stop | undefined;
  /** Frames that are missing there. */
  readonly gap?: Extract<StreamItem, { kind: 'gap' }>;
}

export class Feed implements FrameStream, MarkedStream {
  readonly processId: string;
  readonly reader: Reader;
  readonly role: ReaderRole;
  readonly #owner: FeedOwner;
  readonly #live: Cursor;
  #stages: Stage[] = [];
  /** Behind the live frame `seq`, in the order of the frames. */
  #liveStops: { readonly seq: number; readonly stop: Stop }[] = [];
  #ended = false;
  #wantsLive = true;
  /** The next live frame is gone. The reader is told once what was promised has been sent. */
  #fellBehind = false;
  /** Who waits until the client has a frame, where the reader confirms that. */
  #unconfirmed: { readonly seq: number; readonly reached: () => void }[] = [];
  /** What the reader had taken when it was looked at, and when it last took something (`performance.now()`). */
  #progress: number | undefined;
  #progressAt = 0;

  /** Starts behind the newest frame. */
  constructor(owner: FeedOwner, reader: Reader, role: ReaderRole) {
    this.processId = owner.id;
    this.reader = reader;
    this.role = role;
    this.#owner = owner;
    this.#live = owner.window.cursor();
  }

  // ---- what is to come, and in which order

  /** Nothing of what is to come is taken before this has happened. */
  waitFor(first: Promise<void>): void {
    const gate = new Gate();
    this.#stages.push({ frames: nothing(this.#owner.window), stop: gate });
    first.then(() => {
      gate.open = true;
      this.ready();
    });
  }

  /** Before anything else that is to come. */
  markHere(): Mark {
    return this.#promise(nothing(this.#owner.window));
  }

  /**
   * Promises frames `fromSeq + 1 ... lastSeq`, and before them whatever is still owed.
   * @returns the mark behind them
   */
  replay(fromSeq: number): Mark {
    const { window } = this.#owner;
    // What is owed comes first; the replay may repeat it, which clients expect.
    if (!this.#fellBehind) {
      this.#pinOwed();
    }
    const mark = this.#promise(new PinnedReplay(window, fromSeq + 1, window.lastSeq));
    // From here on the reader is as good as any other: the replay brings what it has missed.
    this.#live.moveToEnd();
    this.#fellBehind = false;
    this.ready();
    return mark;
  }

  /** @returns the mark behind the frames */
  #promise(frames: PinnedReplay): Mark {
    if (this.#ended) {
      frames.drop();
      return new Mark(undefined);
    }
    const mark = new Mark(this);
    this.#stages.push({ frames, stop: mark });
    return mark;
  }

  filled(mark: Mark): boolean {
    const [stage] = this.#stages;
    const [live] = this.#liveStops;
    if (stage !== undefined) {
      if (stage.stop !== mark || stage.frames.bytesLeft > 0) {
        this.ready();
        return false;
      }
      this.#stages.shift();
    } else {
      if (live?.stop !== mark || live.seq >= this.#live.next) {
        this.ready();
        return false;
      }
      this.#liveStops.shift();
    }
    mark.leaveStream();
    this.ready();
    return true;
  }

  /** A mark behind frame `seq`, which is the newest. `undefined`: the reader will not come so far. */
  markBehind(seq: number): Mark | undefined {
    if (this.#ended || !this.#wantsLive) {
      return undefined;
    }
    const mark = new Mark(this);
    this.#liveStops.push({ seq, stop: mark });
    this.ready();
    return mark;
  }

  /** Resolves once the reader has taken frame `seq`, which is the newest, or will never do so. */
  whenTaken(seq: number): Promise<void> {
    if (this.#ended || !this.#wantsLive) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      if (this.reader.confirms === true) {
        this.#unconfirmed.push({ seq, reached: resolve });
      } else {
        this.#liveStops.push({ seq, stop: { reached: resolve } });
      }
      this.ready();
    });
  }

  confirm(lastSeq: number): void {
    this.#owner.seen(this, lastSeq);
    this.#pass(lastSeq);
  }

  #pass(lastSeq: number): void {
    const passed = this.#unconfirmed.filter(({ seq }) => seq <= lastSeq);
    if (passed.length > 0) {
      this.#unconfirmed = this.#unconfirmed.filter(({ seq }) => seq > lastSeq);
    }
    for (const { reached } of passed) {
      reached();
    }
  }

  #took({ lastSeq }: Frames): void {
    this.#owner.taken(this);
    if (this.reader.confirms !== true) {
      this.#owner.seen(this, lastSeq);
    }
  }

  /** Frames may be there, and perhaps more in a moment. */
  ready(more = true): void {
    if (!this.#ended) {
      this.reader.ready(this, more);
    }
  }

  /** Bytes of live frames that wait for this reader. Promised ones do not count. */
  get liveBytes(): number {
    return this.#live.bytesLeft;
  }

  get promisedBytes(): number {
    let bytes = 0;
    for (const { frames } of this.#stages) {
      bytes += frames.bytesLeft;
    }
    return bytes;
  }

  get owes(): boolean {
    return !this.#ended && (this.#stages.length > 0 || this.#liveStops.some(({ stop }) => stop instanceof Mark));
  }

  // ---- taking

  take(maxBytes: number): StreamItem | undefined {
    try {
      return this.#takeNext(maxBytes);
    } catch (error) {
      if (!(error instanceof SpoolReadError)) {
        throw error;
      }
      // What was promised cannot be kept; the client comes again, and gets what there is.
      this.#owner.window.spoolFailed(error);
      this.leave();
      this.reader.lost(this);
      return undefined;
    }
  }

  #takeNext(maxBytes: number): StreamItem | undefined {
    while (!this.#ended) {
      const stage = this.#stages[0];
      if (stage === undefined) {
        return this.#takeLive(maxBytes);
      }
      const frames = stage.frames.take(maxBytes);
      if (frames !== undefined) {
        this.#took(frames);
        return frames;
      }
      if (standsStill(stage.stop)) {
        return undefined;
      }
      this.#stages.shift();
      const next = stage.gap ?? pass(stage.stop);
      if (next !== undefined) {
        return next;
      }
    }
    return undefined;
  }

  #takeLive(maxBytes: number): StreamItem | undefined {
    for (let next = this.#liveStops[0]; next !== undefined && next.seq < this.#live.next; next = this.#liveStops[0]) {
      if (standsStill(next.stop)) {
        return undefined;
      }
      this.#liveStops.shift();
      const reply = pass(next.stop);
      if (reply !== undefined) {
        return reply;
      }
    }
    if (!this.#wantsLive) {
      return undefined;
    }
    if (this.#fellBehind) {
      return this.#tellFallenBehind();
    }
    const frames = this.#live.take(maxBytes, this.#liveStops[0]?.seq);
    if (frames !== undefined) {
      this.#took(frames);
    }
    return frames;
  }

  #tellFallenBehind(): StreamItem | undefined {
    if (this.role === 'receiver') {
      this.reader.fellBehind(this, this.#live.next);
      return undefined;
    }
    return this.#skipMissing();
  }

  /** Goes on at the oldest frame that is kept. */
  #skipMissing(): Extract<StreamItem, { kind: 'gap' }> {
    const from = this.#live.next;
    const to = this.#owner.window.firstSeq - 1;
    this.#live.moveToStart();
    this.#fellBehind = false;
    return { kind: 'gap', from, to };
  }

  /** See SessionReaders. What was promised is pinned, so it is not asked for. */
  expendableBefore(stallMs: number): number {
    const now = performance.now();
    const progress = this.reader.progress();
    if (progress !== this.#progress) {
      this.#progress = progress;
      this.#progressAt = now;
    }
    return now - this.#progressAt >= stallMs ? Number.POSITIVE_INFINITY : this.#live.next;
  }

  /** Called by the session before frame `seq` leaves the window. A promised replay is completed first, whatever comes. */
  evicting(seq: number): void {
    if (this.#ended || !this.#wantsLive || this.#live.next > seq) {
      return;
    }
    const isNews = !this.#fellBehind;
    this.#fellBehind = true;
    if (this.role === 'receiver' && this.#stages.length === 0) {
      this.reader.fellBehind(this, this.#live.next);
    } else if (this.role === 'observer' && isNews) {
      this.reader.missed?.(this);
    }
  }

  // ---- end

  /**
   * What was promised is still sent, nothing after it (the client has ended its half, or another one took over). The process
   * has one reader fewer from now on: nobody waits for a reader that takes nothing new.
   */
  stopLive(): void {
    this.#keepPromisesOnly();
    this.#owner.left(this);
  }

  #keepPromisesOnly(): void {
    this.#wantsLive = false;
    for (const { stop } of this.#liveStops) {
      this.#stages.push({ frames: nothing(this.#owner.window), stop });
    }
    this.#liveStops = [];
    this.ready();
  }

  /** The process will write no more: what it has written is still sent, then the feed is done. */
  finish(): void {
    if (this.#fellBehind && this.role === 'receiver') {
      // It is told so once it has taken what was promised, and its connection is closed.
      return;
    }
    if (this.#fellBehind) {
      this.#stages.push({ frames: nothing(this.#owner.window), stop: undefined, gap: this.#skipMissing() });
    }
    this.#pinOwed();
    this.#keepPromisesOnly();
  }

  /** Promises the frames that this reader was still waiting for, and the marks between them. */
  #pinOwed(): void {
    const { window } = this.#owner;
    let next = this.#live.next;
    for (const { seq, stop } of this.#liveStops) {
      this.#stages.push({ frames: new PinnedReplay(window, next, seq), stop });
      next = Math.max(next, seq + 1);
    }
    this.#liveStops = [];
    const rest = new PinnedReplay(window, next, window.lastSeq);
    if (rest.bytesLeft > 0) {
      this.#stages.push({ frames: rest, stop: undefined });
    }
  }

  get done(): boolean {
    return this.#ended || (!this.#wantsLive && this.#stages.length === 0);
  }

  leave(): void {
    this.end();
    this.#owner.left(this);
  }

  /** Nothing is sent any more; the replies that were to have a place among the frames go out as they are. */
  end(): void {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    this.#pass(Number.POSITIVE_INFINITY);
    const stops = [...this.#stages.map(({ stop }) => stop), ...this.#liveStops.map(({ stop }) => stop)];
    for (const { frames } of this.#stages) {
      frames.drop();
    }
    this.#stages = [];
    this.#liveStops = [];
    for (const stop of stops) {
      const item = pass(stop);
      if (item !== undefined) {
        this.reader.unplaced(item.reply);
      }
    }
  }
}

function nothing(window: ReplayWindow): PinnedReplay {
  return new PinnedReplay(window, 1, 0);
}
