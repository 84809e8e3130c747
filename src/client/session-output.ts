/** A session's output on its way to its consumer: two byte streams, or the frames in order. */
import type { HoldfastError } from './errors.ts';

/** One thing that happened to a session, in the order of its frames. */
export type SessionEvent =
  | { readonly type: 'stdout' | 'stderr'; readonly seq: number; readonly data: Uint8Array }
  | {
      readonly type: 'exit';
      readonly seq: number;
      readonly exitCode: number;
      readonly signal: string | undefined;
      readonly killedBy: string | undefined;
    }
  /** Frames `from` ... `to` are gone; only with `onGap: 'continue'`. */
  | { readonly type: 'gap'; readonly from: number; readonly to: number };

/** What a queued event costs beside its data. */
const eventBytes = 200;

function sizeOf(event: SessionEvent): number {
  return eventBytes + ('data' in event ? event.data.length : 0);
}

/**
 * One consumer's queue behind a `ReadableStream`, which asks for one value at a time and keeps none of its own.
 * `cancel` of the stream (also `break` in a `for await`) drops what comes later.
 */
class Outlet<T> {
  readonly stream: ReadableStream<T>;
  readonly #size: (value: T) => number;
  readonly #account: (bytes: number) => void;
  #queue: T[] = [];
  /** Index of the first value in the queue: shifting an array of many values is dear. */
  #first = 0;
  #controller!: ReadableStreamDefaultController<T>;
  /** The consumer waits for a value. */
  #pull: (() => void) | undefined;
  #isOver = false;
  #end: { readonly error: unknown } | undefined;

  /** @param account told of bytes that wait here, negative when they are gone */
  constructor(size: (value: T) => number, account: (bytes: number) => void) {
    this.#size = size;
    this.#account = account;
    this.stream = new ReadableStream<T>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#next(),
        cancel: () => this.#drop(),
      },
      { highWaterMark: 0 },
    );
  }

  push(value: T): void {
    if (this.#isOver || this.#end !== undefined) {
      return;
    }
    if (this.#pull !== undefined) {
      this.#controller.enqueue(value);
      this.#pulled();
      return;
    }
    this.#queue.push(value);
    this.#account(this.#size(value));
  }

  /** No more will come; `error` is thrown behind what is queued. */
  end(error?: unknown): void {
    if (this.#isOver || this.#end !== undefined) {
      return;
    }
    this.#end = { error };
    if (this.#first === this.#queue.length) {
      this.#finish();
    }
  }

  #next(): Promise<void> | undefined {
    const value = this.#queue[this.#first];
    if (value !== undefined) {
      this.#first++;
      if (this.#first === this.#queue.length) {
        this.#queue = [];
        this.#first = 0;
      } else if (this.#first > 1_000) {
        this.#queue.splice(0, this.#first);
        this.#first = 0;
      }
      this.#controller.enqueue(value);
      this.#account(-this.#size(value));
      if (this.#end !== undefined && this.#queue.length === 0) {
        this.#finish();
      }
      return undefined;
    }
    return new Promise((resolve) => {
      this.#pull = resolve;
    });
  }

  #pulled(): void {
    const resolve = this.#pull;
    this.#pull = undefined;
    resolve?.();
  }

  #finish(): void {
    this.#isOver = true;
    const error = this.#end?.error;
    if (error === undefined) {
      this.#controller.close();
    } else {
      this.#controller.error(error);
    }
    this.#pulled();
  }

  #drop(): void {
    this.#isOver = true;
    const waiting = this.#queue.slice(this.#first).reduce((sum, value) => sum + this.#size(value), 0);
    this.#queue = [];
    this.#first = 0;
    this.#account(-waiting);
    this.#pulled();
  }
}

/**
 * Until somebody asks, frames wait; who asks first decides: `stdout` and `stderr` are streams of bytes, `events` is
 * everything in order. One excludes the other, because each byte goes to one consumer.
 */
export class SessionOutput {
  readonly #account: (bytes: number) => void;
  readonly #settle: () => void;
  /** What was accounted for and not taken back. */
  #waiting = 0;
  #undecided: SessionEvent[] = [];
  #streams: { readonly stdout: Outlet<Uint8Array>; readonly stderr: Outlet<Uint8Array> } | undefined;
  #events: Outlet<SessionEvent> | undefined;
  #end: { readonly error: HoldfastError | undefined } | undefined;

  /** @param account told of bytes that wait for their consumer, negative when they are gone */
  constructor(account: (bytes: number) => void) {
    this.#account = (bytes) => {
      // Output of an ended process holds nobody back: there is nothing to pace, and other sessions must go on.
      if (this.#end === undefined) {
        this.#waiting += bytes;
        account(bytes);
      }
    };
    this.#settle = () => account(-this.#waiting);
  }

  /** @throws TypeError when `events` is in use */
  stream(name: 'stdout' | 'stderr'): ReadableStream<Uint8Array> {
    if (this.#events !== undefined) {
      throw new TypeError(`${name} of a session whose events are read; read either its streams or its events`);
    }
    if (this.#streams === undefined) {
      const outlet = () => new Outlet<Uint8Array>((chunk) => chunk.length + eventBytes, this.#account);
      this.#streams = { stdout: outlet(), stderr: outlet() };
      this.#decide();
    }
    return this.#streams[name].stream;
  }

  /** @throws TypeError when `stdout` or `stderr` is in use */
  events(): ReadableStream<SessionEvent> {
    if (this.#streams !== undefined) {
      throw new TypeError('events of a session whose streams are read; read either its events or its streams');
    }
    if (this.#events === undefined) {
      this.#events = new Outlet(sizeOf, this.#account);
      this.#decide();
    }
    return this.#events.stream;
  }

  push(event: SessionEvent): void {
    if (this.#events !== undefined) {
      this.#events.push(event);
    } else if (this.#streams !== undefined) {
      if (event.type === 'stdout' || event.type === 'stderr') {
        this.#streams[event.type].push(event.data);
      }
    } else if (this.#end === undefined) {
      this.#undecided.push(event);
      this.#account(sizeOf(event));
    }
  }

  /** Nothing more will come; `error` is what a consumer gets behind the last byte. */
  end(error?: HoldfastError): void {
    if (this.#end === undefined) {
      this.#settle();
      this.#end = { error };
    }
    this.#streams?.stdout.end(this.#end.error);
    this.#streams?.stderr.end(this.#end.error);
    this.#events?.end(this.#end.error);
  }

  #decide(): void {
    const waiting = this.#undecided;
    this.#undecided = [];
    for (const event of waiting) {
      this.push(event);
      this.#account(-sizeOf(event));
    }
    if (this.#end !== undefined) {
      this.end();
    }
  }
}
