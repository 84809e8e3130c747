/** `holdfast.watch` over any number of connections: the list, and what happens from then on (spec extensions.md §2.2). */
import type { SessionEventFrame, SessionInfo } from '../wire/extension-types.ts';
import { type Deferred, defer } from './deferred.ts';

/**
 * What a watcher is told. `sessions` comes first, and again after each reconnect: what happened meanwhile is in the
 * list and not told one by one.
 */
export type WatchEvent =
  | { readonly event: 'sessions'; readonly sessions: readonly SessionInfo[] }
  | Omit<SessionEventFrame, 'type'>;

/** Events that wait for a watcher who does not take them; the oldest give way to a fresh list. */
const mostWaiting = 10_000;

/** What `host.watch()` returns: take events by `for await`; leaving the loop ends the watch. */
export class Watch implements AsyncIterableIterator<WatchEvent> {
  readonly #ended: (watch: Watch) => void;
  #queue: WatchEvent[] = [];
  readonly #waiting: Deferred<IteratorResult<WatchEvent>>[] = [];
  #isOver = false;
  #error: unknown;

  constructor(ended: (watch: Watch) => void) {
    this.#ended = ended;
  }

  /** For the host. */
  push(event: WatchEvent): void {
    if (this.#isOver) {
      return;
    }
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting.resolve({ value: event, done: false });
      return;
    }
    if (event.event === 'sessions') {
      // The list holds what was told before it.
      this.#queue = [];
    }
    this.#queue.push(event);
  }

  /** Too many events wait: the watcher needs a new list. */
  get isFull(): boolean {
    return this.#queue.length >= mostWaiting;
  }

  /** @param error thrown behind what waits; `undefined`: the watch just ends */
  end(error: unknown): void {
    if (this.#isOver) {
      return;
    }
    this.#isOver = true;
    this.#error = error;
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (error === undefined) {
        resolve({ value: undefined, done: true });
      } else {
        reject(error);
      }
    }
  }

  /** The next event; resolves with `done` when the watch or the connection was ended. @throws HoldfastError why the connection has ended */
  next(): Promise<IteratorResult<WatchEvent>> {
    const event = this.#queue.shift();
    if (event !== undefined) {
      return Promise.resolve({ value: event, done: false });
    }
    if (this.#isOver) {
      return this.#error === undefined
        ? Promise.resolve({ value: undefined, done: true })
        : Promise.reject(this.#error);
    }
    const waiting = defer<IteratorResult<WatchEvent>>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  /** Ends the watch. */
  return(): Promise<IteratorResult<WatchEvent>> {
    this.end(undefined);
    this.#queue = [];
    this.#ended(this);
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
