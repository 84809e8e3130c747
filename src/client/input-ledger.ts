/**
 * A session's input: kept until the daemon has said that it was applied, and sent again with its offset after a cut, so that
 * the child gets each byte exactly once (spec process.md §5.2).
 */
import { type Deferred, defer } from './deferred.ts';
import { HoldfastError, isKeeperAway } from './errors.ts';
import { LinkLost } from './requests.ts';

/** The link and the session as the ledger needs them. */
export interface InputSender {
  /**
   * Sends `process.stdin`.
   * @param applied told what the reply says, before the frame behind it is looked at
   * @throws LinkLost, HoldfastError `rpc`
   */
  input(data: string, offset: number, applied: (bytes: number) => void): Promise<void>;
  /** Sends `holdfast.closeStdin`. @throws LinkLost, HoldfastError `rpc` */
  close(offset: number): Promise<void>;
}

/** What goes into one request. Small writes join while others are on their way. */
interface Piece {
  readonly offset: number;
  readonly parts: Buffer[];
  length: number;
}

/** Somebody waits until the daemon has everything before `offset`. */
interface Waiter {
  readonly offset: number;
  readonly done: Deferred<void>;
}

/** Input of one request; in base64 it is well below the longest line (spec wire.md §2). */
const pieceBytes = 128 * 1024;
/** Sent without a reply yet. */
const inFlightMost = { bytes: 1024 * 1024, requests: 16 } as const;
/** Pauses before a full queue of the child is tried again. */
const fullQueueMs = { first: 20, most: 1_000 } as const;

const queueFull = -32002;
const offsetGap = -32003;

export class InputLedger {
  readonly #sender: InputSender;
  readonly #mostBytes: number;
  /** What was written and not applied, in order. */
  #pieces: Piece[] = [];
  /** Where the next byte that is written goes. */
  #end = 0;
  #applied = 0;
  /** Everything before it is on its way or applied. */
  #sent = 0;
  #inFlight = { bytes: 0, requests: 0 };
  #isLinked = false;
  /** Counts links, so that an answer of an earlier one changes nothing. */
  #epoch = 0;
  /** A piece was refused: those behind it are too, and all go again once the last answer is there. */
  #rewind: 'no' | 'now' | 'later' = 'no';
  #pauseMs: number = fullQueueMs.first;
  #failure: HoldfastError | undefined;
  #waiters: Waiter[] = [];
  /** Writers that wait for room. */
  #queue: { readonly data: Buffer; readonly done: Deferred<number> }[] = [];
  #closing: Deferred<void> | undefined;
  #closeSent = false;

  /** @param mostBytes most that is kept; then writes wait */
  constructor(sender: InputSender, mostBytes: number) {
    this.#sender = sender;
    this.#mostBytes = mostBytes;
  }

  /** Whether the daemon is there and has said how many bytes it has. */
  get isLinked(): boolean {
    return this.#isLinked;
  }

  /** A link is there and the daemon has `applied` bytes. Before the first one nothing may be written. */
  linked(applied: number): void {
    this.#epoch++;
    this.#isLinked = true;
    this.#inFlight = { bytes: 0, requests: 0 };
    this.#rewind = 'no';
    this.#closeSent = false;
    if (this.#end === 0 && this.#pieces.length === 0) {
      // A session that was taken over: our first byte goes behind what it has.
      this.#end = applied;
    }
    this.#advance(applied);
    this.#sent = this.#applied;
    this.#pump();
  }

  unlinked(): void {
    this.#epoch++;
    this.#isLinked = false;
  }

  /** Resolves as soon as the bytes are kept here, with the offset behind them. @throws HoldfastError `closed` */
  async accept(data: Buffer): Promise<number> {
    this.#refuseAfterEnd();
    if (data.length === 0) {
      return this.#end;
    }
    const done = defer<number>();
    // A copy: the caller may use its memory again, and we may have to send the bytes once more.
    this.#queue.push({ data: Buffer.from(data), done });
    this.#admit();
    return done.promise;
  }

  /** Resolves when the daemon has the bytes. @throws HoldfastError `closed` when the child takes no more */
  async write(data: Buffer): Promise<void> {
    const offset = await this.accept(data);
    await this.#until(offset);
  }

  /** End of file behind everything that was written. Resolves when the daemon has been told. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#refuseAfterEnd();
      this.#closing = defer(false);
      this.#pump();
    }
    return this.#closing.promise;
  }

  /** The daemon has so many bytes, and the process has ended. */
  endedAt(applied: number, error: HoldfastError): void {
    this.#advance(applied);
    this.fail(error);
  }

  /** The child takes no more input: its process has ended, or nobody knows it any more. */
  fail(error: HoldfastError): void {
    if (this.#failure !== undefined) {
      return;
    }
    this.#failure = error;
    this.#pieces = [];
    for (const { done } of this.#waiters.splice(0)) {
      done.reject(error);
    }
    for (const { done } of this.#queue.splice(0)) {
      done.reject(error);
    }
    // The end of file has come to a process that has none to wait for.
    this.#closing?.resolve();
  }

  #refuseAfterEnd(): void {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    if (this.#closing !== undefined) {
      throw new HoldfastError('closed', 'input after its end: end() was called before this write');
    }
  }

  /** Takes what has room; a write larger than all room is taken when there is nothing else. */
  #admit(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const kept = this.#end - this.#applied;
      if (kept > 0 && kept + next.data.length > this.#mostBytes) {
        return;
      }
      this.#queue.shift();
      const { data, done } = next;
      for (let at = 0; at < data.length; at += pieceBytes) {
        this.#keep(data.subarray(at, at + pieceBytes), this.#end + at);
      }
      this.#end += data.length;
      done.resolve(this.#end);
      this.#pump();
    }
  }

  #keep(data: Buffer, offset: number): void {
    const last = this.#pieces.at(-1);
    if (last !== undefined && last.offset >= this.#sent && last.length + data.length <= pieceBytes) {
      last.parts.push(data);
      last.length += data.length;
    } else {
      this.#pieces.push({ offset, parts: [data], length: data.length });
    }
  }

  async #until(offset: number): Promise<void> {
    if (offset > this.#applied) {
      if (this.#failure !== undefined) {
        throw this.#failure;
      }
      const done = defer<void>();
      this.#waiters.push({ offset, done });
      await done.promise;
    }
  }

  #advance(applied: number): void {
    if (applied <= this.#applied) {
      return;
    }
    this.#applied = applied;
    this.#pieces.splice(0, this.#indexAt(applied));
    // One cut of the list: taking its first element away again and again is dear when many wait.
    const unmet = this.#waiters.findIndex(({ offset }) => offset > applied);
    for (const { done } of this.#waiters.splice(0, unmet < 0 ? this.#waiters.length : unmet)) {
      done.resolve();
    }
    this.#admit();
  }

  #pump(): void {
    if (!this.#isLinked || this.#failure !== undefined || this.#rewind !== 'no') {
      return;
    }
    for (let index = this.#indexAt(this.#sent); index < this.#pieces.length; index++) {
      const { bytes, requests } = this.#inFlight;
      const piece = this.#pieces[index] as Piece;
      if (requests > 0 && (requests >= inFlightMost.requests || bytes + piece.length > inFlightMost.bytes)) {
        return;
      }
      const data = Buffer.concat(piece.parts).subarray(Math.max(this.#sent - piece.offset, 0));
      const offset = this.#sent;
      this.#sent = piece.offset + piece.length;
      this.#inFlight = { bytes: bytes + data.length, requests: requests + 1 };
      void this.#send(data, offset);
    }
    const isWhole = this.#queue.length === 0 && this.#applied === this.#end && this.#sent === this.#end;
    if (this.#closing !== undefined && isWhole && !this.#closeSent) {
      this.#closeSent = true;
      void this.#sendClose(this.#closing);
    }
  }

  /** Index of the piece with the byte at `offset`, or behind all. */
  #indexAt(offset: number): number {
    let [low, high] = [0, this.#pieces.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const piece = this.#pieces[middle] as Piece;
      if (piece.offset + piece.length > offset) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  async #send(data: Buffer, offset: number): Promise<void> {
    const epoch = this.#epoch;
    try {
      await this.#sender.input(data.toString('base64'), offset, (applied) => {
        if (epoch === this.#epoch) {
          this.#pauseMs = fullQueueMs.first;
          this.#advance(applied);
        }
      });
    } catch (error) {
      if (epoch !== this.#epoch || error instanceof LinkLost) {
        return;
      }
      const code = error instanceof HoldfastError ? error.code : undefined;
      if (code === queueFull || isKeeperAway(error) || (code === offsetGap && this.#rewind !== 'no')) {
        this.#rewind = 'later';
      } else if (code === offsetGap && this.#inFlight.requests > 1) {
        this.#rewind = 'now';
      } else {
        this.fail(noMoreInput(error));
        return;
      }
    }
    if (epoch === this.#epoch) {
      const { bytes, requests } = this.#inFlight;
      this.#inFlight = { bytes: bytes - data.length, requests: requests - 1 };
      this.#afterAnswer(epoch);
    }
  }

  #afterAnswer(epoch: number): void {
    if (this.#rewind === 'no' || this.#inFlight.requests > 0) {
      this.#pump();
      return;
    }
    const again = (): void => {
      if (epoch === this.#epoch) {
        this.#rewind = 'no';
        this.#sent = this.#applied;
        this.#pump();
      }
    };
    if (this.#rewind === 'now') {
      again();
      return;
    }
    setTimeout(again, this.#pauseMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, fullQueueMs.most);
  }

  #closeAgain(epoch: number): void {
    if (epoch === this.#epoch) {
      this.#closeSent = false;
      this.#pump();
    }
  }

  async #sendClose(closing: Deferred<void>): Promise<void> {
    const epoch = this.#epoch;
    try {
      await this.#sender.close(this.#end);
      closing.resolve();
    } catch (error) {
      if (epoch !== this.#epoch || error instanceof LinkLost) {
        return;
      }
      if (isKeeperAway(error)) {
        setTimeout(() => this.#closeAgain(epoch), fullQueueMs.most);
        return;
      }
      closing.reject(error);
    }
  }
}

function noMoreInput(cause: unknown): HoldfastError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new HoldfastError('closed', `the input was not taken: ${text}`, { cause });
}
