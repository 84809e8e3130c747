/** The requests of one connection that wait: for their turn, or for their answers. Each kind has a cap. */
import type { MemoryBudget } from '../../base/memory-budget.ts';

/** While more replies than this are unsent, no further request is read. */
export const maxUnsentReplyBytes = 1024 * 1024;
/** Requests being answered at once; the next one is read when one of them is done. */
const maxConcurrentCalls = 4096;
/**
 * Calls with answers of any size (files.read, files.list) at once; more wait for their turn while other requests are served. Without
 * this bound a burst of them fills the memory with answers before the first one has left.
 */
const maxBulkCalls = 16;
/** Lines of such calls kept for their turn; beyond, reading stops. */
const maxDeferredBytes = 1024 * 1024;
/** Lines of requests that may wait for their answers whatever others hold; beyond, the memory budget is asked. */
const freeWaitingBytes = 1024 * 1024;

export interface WaitingRequestsOptions {
  readonly budget: MemoryBudget;
  /** Of this connection. */
  unsentReplyBytes(): number;
  /** A cap was reached. @param what the connection has, and what becomes of the rest */
  tellBusy(what: string): void;
}

export class WaitingRequests {
  readonly #options: WaitingRequestsOptions;
  /** Requests being answered. */
  #calls = 0;
  #bulkCalls = 0;
  /** Their lines. */
  #callBytes = 0;
  /** Lines that wait for their turn, oldest first. */
  #deferred: Buffer[] = [];
  #deferredBytes = 0;

  constructor(options: WaitingRequestsOptions) {
    this.#options = options;
  }

  /** Nothing is being answered, and nothing waits for its turn. */
  get none(): boolean {
    return this.#calls === 0 && this.#deferred.length === 0;
  }

  /** Of lines that wait for their turn. */
  get deferredBytes(): number {
    return this.#deferredBytes;
  }

  /** No further request is to be read. */
  isFull(): boolean {
    if (this.#calls >= maxConcurrentCalls) {
      this.#options.tellBusy(`${maxConcurrentCalls} requests in progress; reading goes on when some are answered`);
      return true;
    }
    return this.#deferredBytes > maxDeferredBytes;
  }

  /** Few bytes may always wait, so that what runs can be asked and ended whatever others hold. @throws MemoryBudgetReached */
  admit(lineBytes: number): void {
    if (this.#callBytes + lineBytes > freeWaitingBytes) {
      this.#options.budget.ensureRoom(lineBytes, 'a request that waits for its answer');
    }
  }

  callStarted(lineBytes: number, bulk: boolean): void {
    this.#calls++;
    this.#callBytes += lineBytes;
    this.#options.budget.take(lineBytes);
    if (bulk) {
      this.#bulkCalls++;
    }
  }

  callEnded(lineBytes: number, bulk: boolean): void {
    this.#calls--;
    this.#callBytes -= lineBytes;
    this.#options.budget.give(lineBytes);
    if (bulk) {
      this.#bulkCalls--;
    }
  }

  /** Keeps a copy of the line for its turn. @returns `false`: it need not wait */
  defer(line: Buffer): boolean {
    if (this.#hasRoomForBulk()) {
      return false;
    }
    this.#options.tellBusy(`${maxBulkCalls} file requests in progress or unsent; more wait for their turn`);
    this.#deferred.push(Buffer.from(line));
    this.#deferredBytes += line.length;
    return true;
  }

  /** The line whose turn it is, which waits no more; `undefined`: none, or there is no room for it yet. */
  nextDeferred(): Buffer | undefined {
    const line = this.#hasRoomForBulk() ? this.#deferred.shift() : undefined;
    this.#deferredBytes -= line?.length ?? 0;
    return line;
  }

  /** The connection ends: what waits for its turn is not served any more. */
  dropDeferred(): void {
    this.#deferred = [];
    this.#deferredBytes = 0;
  }

  #hasRoomForBulk(): boolean {
    return this.#bulkCalls < maxBulkCalls && this.#options.unsentReplyBytes() <= maxUnsentReplyBytes;
  }
}
