/**
 * One session's output on its way to the server: in order, each chunk until it is stored there, one request at a time
 * (spec agent.md §7). What is not here yet, or not any more, is read again from the host daemon.
 */
import { bodyOf, type Chunk, nextBatch, sizeOf } from './chunk.ts';
import type { DeliveryContext } from './delivery-queue.ts';
import { Backoff, pause } from './pauses.ts';
import { fieldOf, verdictOf } from './verdict.ts';

export interface UploadOptions extends DeliveryContext {
  readonly sessionId: string;
  /** Milliseconds from the first unsent byte to the request. */
  readonly flushMs: number;
  /** Number of the last chunk that the server has. */
  readonly accepted: number;
  /** Before a request: these numbers may reach the server. */
  sending(lastSeq: number): void;
  /** The server has everything up to here. */
  stored(lastSeq: number): void;
  /** The server wants chunks from `lastSeq + 1` on, which are not here: they are to be read again. */
  readAgain(lastSeq: number): void;
  /** Chunks that the server will never get. */
  lost(code: 'output_gap' | 'output_rejected' | 'chunk_too_large', from: number, to: number): void;
  /** The server has deleted the session on purpose. */
  deleted(): void;
}

/** So much is sent without waiting for the interval. */
const flushBytes = 64 * 1024;
/** More is not taken from the reader. */
const mostBytes = 256 * 1024;
/** A server that asks for what is gone is answered so often before it is treated like one that fails. */
const mostConflicts = 2;

export class OutputUpload {
  readonly #options: UploadOptions;
  readonly #route: string;
  readonly #backoff: Backoff;
  #queue: Chunk[] = [];
  #bytes = 0;
  #accepted: number;
  /** `performance.now()` of the first byte that was not sent. */
  #since = 0;
  #isOver = false;
  #isFailing = false;
  #flushNow = false;
  #toldUnknown = false;
  #conflicts = 0;
  #mostChunks: number | undefined;
  #wake: () => void = () => {};
  #roomMade: (() => void)[] = [];
  /** Resolves when the exit chunk is stored, the session is deleted, or nothing is sent any more. */
  readonly finished: Promise<void>;

  constructor(options: UploadOptions) {
    this.#options = options;
    this.#route = `/sessions/${encodeURIComponent(options.sessionId)}/output`;
    this.#accepted = options.accepted;
    this.#backoff = new Backoff(options.timings);
    this.finished = this.#work();
  }

  /** Number of the last chunk that the server has. */
  get acceptedSeq(): number {
    return this.#accepted;
  }

  /** Bytes that wait here. */
  get bufferedBytes(): number {
    return this.#bytes;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The server does not take what it is given at the moment. */
  get isFailing(): boolean {
    return this.#isFailing;
  }

  push(chunk: Chunk): void {
    if (this.#isOver || chunk.seq <= this.#accepted) {
      return;
    }
    if (this.#queue.length === 0) {
      this.#since = performance.now();
    }
    this.#queue.push(chunk);
    this.#bytes += sizeOf(chunk);
    if (chunk.stream === 'exit' || this.#queue.length === 1 || this.#bytes >= flushBytes) {
      this.#wake();
    }
  }

  get isFull(): boolean {
    return this.#bytes >= mostBytes && !this.#isOver;
  }

  /** Resolves when half of what waits is gone, or nothing is taken any more. */
  async room(): Promise<void> {
    while (this.#bytes > mostBytes / 2 && !this.#isOver && !this.#options.signal.aborted) {
      await new Promise<void>((resolve) => this.#roomMade.push(resolve));
    }
  }

  /** What waits is sent at once. */
  flush(): void {
    this.#flushNow = true;
    this.#wake();
  }

  /** Forgets what waits, because it comes again from `acceptedSeq + 1` on. */
  drop(): void {
    this.#queue = [];
    this.#bytes = 0;
    this.#tellRoom();
  }

  async #work(): Promise<void> {
    const { signal } = this.#options;
    const onAbort = (): void => {
      this.#wake();
      this.#tellRoom();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    while (!this.#isOver && !signal.aborted) {
      if (await this.#isDue()) {
        await this.#send();
      }
    }
    signal.removeEventListener('abort', onAbort);
  }

  /** Waits for something to send and for its time. */
  async #isDue(): Promise<boolean> {
    const { flushMs, signal } = this.#options;
    const isLast = this.#queue.at(-1)?.stream === 'exit';
    const left = this.#since + flushMs - performance.now();
    const isDue = this.#flushNow || isLast || this.#bytes >= flushBytes || left <= 0;
    if (this.#queue.length > 0 && isDue) {
      return true;
    }
    this.#flushNow &&= this.#queue.length > 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = this.#queue.length > 0 ? setTimeout(resolve, left) : undefined;
    if (signal.aborted) {
      resolve();
    }
    await promise;
    clearTimeout(timer);
    return false;
  }

  async #send(): Promise<void> {
    const { server, sessionId, token, timings, log, signal } = this.#options;
    const batch = nextBatch(this.#queue, this.#mostChunks);
    const first = batch[0]?.seq ?? 0;
    const last = batch.at(-1)?.seq ?? 0;
    this.#options.sending(last);
    log.debug(`Output of ${sessionId}: ${first}..${last}`);
    const verdict = verdictOf(await server.post(this.#route, bodyOf(sessionId, batch)));
    if (signal.aborted) {
      return;
    }
    this.#isFailing = verdict.is !== 'done' && verdict.is !== 'wrong';
    switch (verdict.is) {
      case 'done':
        token.accepted();
        this.#mostChunks = undefined;
        // A number beyond what was sent can only be meant for chunks that come: they are sent all the same.
        await this.#stored(batch, Math.min(last, numberIn(verdict.body, 'accepted') ?? last));
        break;
      case 'conflict':
        token.accepted();
        await this.#conflict(numberIn(verdict.body, 'expected'));
        break;
      case 'wrong':
        log.error(`The server refused output of ${sessionId} (${verdict.status}): ${first}..${last} dropped`);
        this.#give(last, 'output_rejected', first);
        break;
      case 'tooLarge':
        if (batch.length > 1) {
          this.#mostChunks = Math.ceil(batch.length / 2);
        } else {
          log.error(`A chunk of ${sessionId} is too large for the server: ${first} dropped`);
          this.#give(last, 'chunk_too_large', first);
        }
        break;
      case 'deleted':
        this.#end();
        this.#options.deleted();
        break;
      case 'unknown':
        if (!this.#toldUnknown) {
          this.#toldUnknown = true;
          log.warn(`The server does not know ${sessionId}; its output is kept`);
        }
        await pause(timings.unknownSessionMs, signal);
        break;
      case 'refused':
        token.refused(verdict.why, 'other');
        await token.wait(timings.refusedMs, signal);
        break;
      case 'again':
        log.debug(`Output of ${sessionId}: ${verdict.reason}`);
        await pause(verdict.retryAfterMs ?? this.#backoff.next(), signal);
        break;
    }
  }

  /** The server has everything up to `accepted`, which may be less than what it was sent, or more. */
  async #stored(batch: readonly Chunk[], accepted: number): Promise<void> {
    const isProgress = accepted > this.#accepted;
    const asked = accepted + 1 < (batch[0]?.seq ?? 0) && accepted < this.#accepted;
    if (asked) {
      await this.#conflict(accepted + 1);
      return;
    }
    this.#toldUnknown = false;
    if (!isProgress) {
      // It says 200 and stores nothing: as good as a failure.
      await pause(this.#backoff.next(), this.#options.signal);
      return;
    }
    this.#backoff.reset();
    this.#conflicts = 0;
    const lastOfBatch = batch.at(-1);
    this.#take(accepted);
    if (lastOfBatch?.stream === 'exit' && accepted >= lastOfBatch.seq) {
      this.#end();
    }
  }

  /** It goes on from `expected`: with what is here, with what the daemon still has, or behind what is gone for good. */
  async #conflict(expected: number | undefined): Promise<void> {
    const { signal, sessionId, log } = this.#options;
    const oldest = this.#queue[0]?.seq ?? this.#accepted + 1;
    if (expected === undefined || ++this.#conflicts > mostConflicts) {
      log.debug(`Output of ${sessionId}: conflict`);
      await pause(this.#backoff.next(), signal);
    } else if (expected > oldest) {
      this.#take(expected - 1);
    } else if (expected < oldest) {
      this.#accepted = expected - 1;
      this.drop();
      this.#options.readAgain(expected - 1);
    }
  }

  /** Chunks up to `last` are given up. */
  #give(last: number, code: 'output_rejected' | 'chunk_too_large', first: number): void {
    this.#options.lost(code, first, last);
    const exit = this.#queue.find((chunk) => chunk.stream === 'exit' && chunk.seq <= last);
    this.#take(last);
    if (exit !== undefined) {
      this.#end();
    }
  }

  /** Everything up to `seq` is out of our hands. */
  #take(seq: number): void {
    this.#accepted = seq;
    const rest = this.#queue.findIndex((chunk) => chunk.seq > seq);
    const gone = this.#queue.splice(0, rest === -1 ? this.#queue.length : rest);
    this.#bytes -= gone.reduce((sum, chunk) => sum + sizeOf(chunk), 0);
    this.#since = performance.now();
    this.#options.stored(seq);
    this.#tellRoom();
  }

  #end(): void {
    this.#isOver = true;
    this.drop();
  }

  #tellRoom(): void {
    const waiting = this.#roomMade;
    this.#roomMade = [];
    for (const tell of waiting) {
      tell();
    }
  }
}

function numberIn(body: unknown, name: string): number | undefined {
  const value = fieldOf(body, name);
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
