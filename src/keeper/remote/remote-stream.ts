/**
 * One process's frames and marks for one reader, as they come from the keeper. They wait here until the reader takes them;
 * how much may wait is the keeper's to know, which is told what was taken.
 */
import { Mark, type MarkedStream } from '../../engine/mark.ts';
import type { FrameStream, Reader, ReaderRole, StreamItem } from '../../engine/session-engine.ts';

export interface RemoteStreamOwner {
  /** The client has taken so many bytes of it, up to this frame. */
  took(stream: RemoteStream, bytes: number, lastSeq: number): void;
  stopLive(stream: RemoteStream): void;
  left(stream: RemoteStream): void;
}

interface WaitingFrames {
  readonly kind: 'frames';
  readonly bytes: Buffer;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly isPromised: boolean;
  readonly release: () => void;
}

type Waiting =
  | WaitingFrames
  | Mark
  | { readonly kind: 'gap'; readonly from: number; readonly to: number }
  /** The receiver fell out of the window behind what was promised to it. */
  | { readonly kind: 'behind'; readonly seq: number };

export class RemoteStream implements FrameStream, MarkedStream {
  readonly id: number;
  readonly processId: string;
  readonly role: ReaderRole;
  readonly reader: Reader;
  readonly #owner: RemoteStreamOwner;
  /** From the oldest to the newest. */
  #waiting: Waiting[] = [];
  /** Marks whose replies are to come here; the keeper has not put all of them in their places. */
  readonly #marks = new Map<number, Mark>();
  #promised = 0;
  /** Promised bytes that have not come. */
  #promisedToCome = 0;
  /** Where the client goes on after frames that were dropped here, for the gap that is to come. */
  #missedFrom: number | undefined;
  /** Bytes of dropped frames, which the keeper still counts as on their way. */
  #droppedBytes = 0;
  #lastSeq = 0;
  #wantsLive = true;
  /** The keeper has sent everything. */
  #complete = false;
  #ended = false;

  constructor(id: number, processId: string, role: ReaderRole, reader: Reader, owner: RemoteStreamOwner) {
    this.id = id;
    this.processId = processId;
    this.role = role;
    this.reader = reader;
    this.#owner = owner;
  }

  /** Number of the last frame that has come; 0: none. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  // ---- what comes from the keeper

  /** A reply is to be put here; its place is told by `markReached`. */
  mark(id: number): Mark {
    if (this.#ended) {
      return new Mark(undefined);
    }
    const mark = new Mark(this);
    this.#marks.set(id, mark);
    return mark;
  }

  markReached(id: number): void {
    const mark = this.#marks.get(id);
    this.#marks.delete(id);
    if (mark !== undefined && !this.#ended) {
      this.#waiting.push(mark);
      this.#ready(false);
    }
  }

  /** @param hold keeps the bytes valid */
  framesCame(bytes: Buffer, firstSeq: number, lastSeq: number, isPromised: boolean, hold: () => () => void): void {
    this.#lastSeq = Math.max(this.#lastSeq, lastSeq);
    if (isPromised) {
      this.#promisedToCome -= bytes.length;
    }
    if (this.#ended) {
      return;
    }
    if (!isPromised && !this.#wantsLive) {
      this.#owner.took(this, bytes.length, 0);
      return;
    }
    if (isPromised) {
      this.#promised += bytes.length;
    }
    this.#waiting.push({ kind: 'frames', bytes, firstSeq, lastSeq, isPromised, release: hold() });
    this.#ready(false);
  }

  promisedBy(bytes: number): void {
    this.#promisedToCome = bytes;
  }

  gapCame(from: number, to: number): void {
    if (this.#ended || !this.#wantsLive) {
      return;
    }
    this.#waiting.push({ kind: 'gap', from: this.#missedFrom ?? from, to });
    this.#missedFrom = undefined;
    this.#ready(false);
  }

  /** Live frames have left the window before the client took them. @param seq the first one of them in the keeper */
  fellBehind(seq: number): void {
    if (this.#ended || !this.#wantsLive) {
      return;
    }
    const from = this.#dropLive();
    if (this.role === 'observer') {
      this.#missedFrom ??= from;
      // The client may be waiting already; when it takes, the keeper is asked for the gap.
      this.#ready(false);
      return;
    }
    const next = from ?? seq;
    if (this.#waiting.length > 0) {
      this.#waiting.push({ kind: 'behind', seq: next });
    } else {
      this.reader.fellBehind(this, next);
    }
  }

  replaced(): void {
    if (this.#ended) {
      return;
    }
    this.#wantsLive = false;
    this.#dropLive();
    this.#giveBack();
    this.reader.replaced(this);
    this.#ready(false);
  }

  /** The keeper has taken the process away from its readers. */
  over(): void {
    if (!this.#ended) {
      this.#end();
      this.reader.over(this);
    }
  }

  completed(): void {
    this.#complete = true;
    this.#ready(false);
  }

  /** Frames of our own behind everything that has come: the keeper is gone. */
  finishWith(bytes: Buffer, seq: number): void {
    if (this.#ended) {
      return;
    }
    for (const mark of this.#marks.values()) {
      this.#waiting.push(mark);
    }
    this.#marks.clear();
    this.#promisedToCome = 0;
    if (this.#wantsLive) {
      this.#waiting.push({
        ...{ kind: 'frames', bytes, firstSeq: seq, lastSeq: seq },
        ...{ isPromised: false, release: () => {} },
      });
    }
    this.completed();
  }

  /** We have lost touch with the keeper. */
  lost(): void {
    if (!this.#ended) {
      this.#end();
      this.reader.lost(this);
    }
  }

  #ready(more: boolean): void {
    this.reader.ready(this, more);
  }

  /** @returns the first of the frames dropped; `undefined`: there were none */
  #dropLive(): number | undefined {
    let first: number | undefined;
    for (let last = this.#waiting.at(-1); last !== undefined; last = this.#waiting.at(-1)) {
      if (last instanceof Mark || last.kind !== 'frames' || last.isPromised) {
        break;
      }
      this.#waiting.pop();
      last.release();
      this.#droppedBytes += last.bytes.length;
      first = last.firstSeq;
    }
    return first;
  }

  // ---- what the reader does

  take(): StreamItem | undefined {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next instanceof Mark) {
        const { reply } = next;
        if (reply === undefined) {
          return undefined;
        }
        this.#waiting.shift();
        next.leaveStream();
        if (reply !== '') {
          return { kind: 'reply', reply };
        }
        continue;
      }
      this.#waiting.shift();
      if (next.kind === 'behind') {
        this.reader.fellBehind(this, next.seq);
        return undefined;
      }
      if (next.kind === 'frames') {
        if (next.isPromised) {
          this.#promised -= next.bytes.length;
        }
        this.#owner.took(this, next.bytes.length, next.lastSeq);
      }
      return next;
    }
    this.#giveBack();
    return undefined;
  }

  /** The keeper may send others for those that were dropped. */
  #giveBack(): void {
    const bytes = this.#droppedBytes;
    this.#droppedBytes = 0;
    if (bytes > 0) {
      this.#owner.took(this, bytes, 0);
    }
  }

  filled(mark: Mark): boolean {
    if (this.#waiting[0] !== mark) {
      this.#ready(true);
      return false;
    }
    this.#waiting.shift();
    mark.leaveStream();
    this.#ready(true);
    return true;
  }

  get promisedBytes(): number {
    return this.#promised + this.#promisedToCome;
  }

  get owes(): boolean {
    return (
      !this.#ended &&
      (this.promisedBytes > 0 || this.#marks.size > 0 || this.#waiting.some((each) => each instanceof Mark))
    );
  }

  get done(): boolean {
    return this.#ended || (this.#complete && this.#waiting.length === 0);
  }

  stopLive(): void {
    if (this.#ended || !this.#wantsLive) {
      return;
    }
    this.#wantsLive = false;
    this.#dropLive();
    this.#giveBack();
    this.#owner.stopLive(this);
    this.#ready(false);
  }

  leave(): void {
    if (!this.#ended) {
      this.#end();
      this.#owner.left(this);
    }
  }

  /** The client's own connection takes the frames, so there is nothing to confirm. */
  confirm(): void {}

  /** Nothing is sent any more; the replies that were to have a place among the frames go out as they are. */
  #end(): void {
    this.#ended = true;
    const marks = [...this.#waiting.filter((each) => each instanceof Mark), ...this.#marks.values()];
    for (const each of this.#waiting) {
      if (!(each instanceof Mark) && each.kind === 'frames') {
        each.release();
      }
    }
    this.#waiting = [];
    this.#marks.clear();
    this.#promised = 0;
    this.#promisedToCome = 0;
    for (const mark of marks) {
      mark.leaveStream();
      if (mark.reply !== undefined && mark.reply !== '') {
        this.reader.unplaced(mark.reply);
      }
    }
  }
}
