/** A connection that is made anew whenever it breaks: dialling, starting a daemon, the token, the pauses between attempts. */
import { HoldfastError, messageOf, NobodyListens, UnsupportedError } from './errors.ts';
import type { Frame } from './frame-reader.ts';
import { type DaemonFacts, greet } from './handshake.ts';
import { Link, type LinkTimers, type ReadingMode } from './link.ts';
import { type AfterCut, LinkLost, RequestLedger } from './requests.ts';
import type { Target } from './target.ts';

/** How a connection that broke is made anew; times in milliseconds. */
export interface RetryOptions {
  /** The first pause, each attempt doubles it; default 200. */
  readonly firstMs?: number;
  /** The longest pause; default 10 000. */
  readonly maxMs?: number;
  /** Give up when there has been no connection for so long; default `Infinity`. */
  readonly giveUpMs?: number;
}

export interface ConnectionTimers extends LinkTimers {
  /** For dialling, the token and the first reply together. */
  readonly connectTimeoutMs: number;
  readonly retry: Required<RetryOptions>;
}

export interface ConnectionEvents {
  frame(frame: Exclude<Frame, { type: 'reply' }>): void;
  /** A link is there, and requests that have waited have been sent. */
  linked(facts: DaemonFacts): void;
  lost(reason: string): void;
  /** For good: nothing is tried any more. */
  ended(error: HoldfastError): void;
}

/** Pauses are multiplied by 0.8 ... 1.2, so that many clients do not come back at the same moment. */
const jitter = (ms: number): number => ms * (0.8 + 0.4 * Math.random());

export class Connection {
  readonly #target: Target;
  readonly #timers: ConnectionTimers;
  readonly #events: ConnectionEvents;
  readonly #ledger = new RequestLedger();
  #token: string | undefined;
  #link: Link | undefined;
  #facts: DaemonFacts | undefined;
  #end: HoldfastError | undefined;
  #reading: ReadingMode = 'flow';
  /** Ends a pause at once. */
  #wake: () => void = () => {};

  constructor(target: Target, timers: ConnectionTimers, events: ConnectionEvents) {
    this.#target = target;
    this.#timers = timers;
    this.#events = events;
  }

  /** Facts of the daemon of the last link. */
  get facts(): DaemonFacts {
    return this.#facts ?? { version: 'unknown', hasExtensions: false, instanceId: undefined };
  }

  get isLinked(): boolean {
    return this.#link !== undefined;
  }

  /** Why the connection has ended for good. */
  get end(): HoldfastError | undefined {
    return this.#end;
  }

  /** Replies that are waited for: they need the connection to be read. */
  get awaited(): number {
    return this.#ledger.awaited;
  }

  /** The first link. @throws when it cannot be made; only a link that breaks halfway is tried again */
  async open(): Promise<void> {
    const deadline = Date.now() + this.#timers.connectTimeoutMs;
    for (let pauseMs = this.#timers.retry.firstMs; ; pauseMs *= 2) {
      try {
        await this.#attempt();
        return;
      } catch (error) {
        if (this.#end !== undefined) {
          throw this.#end;
        }
        if (!(error instanceof LinkLost) || Date.now() + pauseMs > deadline) {
          const failure = error instanceof LinkLost ? this.#refused(error.message) : error;
          this.#finish(asHoldfastError(failure));
          throw failure;
        }
      }
      await this.#pause(Math.min(pauseMs, this.#timers.retry.maxMs));
    }
  }

  /** See `RequestLedger.request`. @throws HoldfastError */
  request(
    method: string,
    params: object | undefined,
    afterCut: AfterCut,
    inOrder?: (result: unknown) => void,
  ): Promise<unknown> {
    return this.#end === undefined
      ? this.#ledger.request(method, params, afterCut, inOrder)
      : Promise.reject(afterCut === 'link' ? new LinkLost(this.#end.message) : this.#end);
  }

  /** How to read (back-pressure), over all links from now on. */
  read(how: ReadingMode): void {
    this.#reading = how;
    this.#link?.read(how);
  }

  close(error: HoldfastError): void {
    this.#finish(error);
  }

  /** @throws LinkLost when a link was there and broke; HoldfastError when there is none to be had */
  async #attempt(): Promise<void> {
    try {
      await this.#dial();
    } catch (error) {
      if (this.#end !== undefined) {
        throw error;
      }
      if (isUnauthorized(error) && (await this.#findNewToken())) {
        await this.#dial();
      } else if (error instanceof NobodyListens && this.#target.start !== undefined) {
        await this.#start(this.#target.start, error);
        await this.#dial();
      } else {
        throw error;
      }
    }
  }

  /** A daemon that was started anew may have another token, which then stands where we found the first one. */
  async #findNewToken(): Promise<boolean> {
    const old = this.#token;
    if (old === undefined) {
      return false;
    }
    this.#token = await this.#target.readToken().catch(() => old);
    return this.#token !== old;
  }

  async #start(start: () => Promise<string>, refused: HoldfastError): Promise<void> {
    try {
      this.#token = await start();
    } catch (cause) {
      throw new HoldfastError('refused', `${refused.message}; and no daemon could be started: ${messageOf(cause)}`, {
        cause,
      });
    }
  }

  async #dial(): Promise<void> {
    const { dialer } = this.#target;
    const transport = await dialer.dial();
    const limit = setTimeout(() => transport.destroy(), this.#timers.connectTimeoutMs);
    try {
      // Without a token it still shows whether a daemon answers at all; if none does, one is started with a token of ours.
      const known = this.#token;
      const token = known ?? (await this.#target.readToken().catch((error: HoldfastError) => error));
      const link = new Link(transport, typeof token === 'string' ? token : '', this.#timers);
      const facts = await greet(link, dialer.name).catch((error: unknown) => {
        throw isUnauthorized(error) && typeof token !== 'string' ? token : error;
      });
      this.#token = typeof token === 'string' ? token : undefined;
      this.#adopt(link, facts);
    } catch (error) {
      transport.destroy();
      throw error;
    } finally {
      clearTimeout(limit);
    }
  }

  /** @throws LinkLost when the link broke meanwhile, or why the connection was ended */
  #adopt(link: Link, facts: DaemonFacts): void {
    if (this.#end !== undefined) {
      link.close(this.#end.message);
      throw this.#end;
    }
    if (link.isClosed) {
      throw new LinkLost('the connection broke');
    }
    link.listen({
      frame: (frame) => {
        if (frame.type === 'reply') {
          this.#ledger.settle(frame);
        } else {
          this.#events.frame(frame);
        }
      },
      closed: (reason) => this.#lost(reason),
    });
    this.#link = link;
    this.#facts = facts;
    link.read(this.#reading);
    this.#ledger.use(link);
    this.#events.linked(facts);
  }

  #refused(reason: string): HoldfastError {
    return new HoldfastError('refused', `no daemon answers at ${this.#target.dialer.name}: ${reason}`);
  }

  #lost(reason: string): void {
    if (this.#link === undefined) {
      return;
    }
    this.#link = undefined;
    this.#ledger.lost(reason);
    if (this.#end === undefined) {
      this.#events.lost(reason);
      void this.#reconnect();
    }
  }

  async #reconnect(): Promise<void> {
    const { firstMs, maxMs, giveUpMs } = this.#timers.retry;
    const since = Date.now();
    for (let pauseMs = firstMs; this.#end === undefined; pauseMs = Math.min(pauseMs * 2, maxMs)) {
      const left = since + giveUpMs - Date.now();
      await this.#pause(Math.min(jitter(Math.min(pauseMs, maxMs)), Math.max(left, 0)));
      try {
        await this.#attempt();
        return;
      } catch (error) {
        const failure = asHoldfastError(error instanceof LinkLost ? this.#refused(error.message) : error);
        const isHopeless = failure.kind === 'unauthorized' || failure.kind === 'unsupported';
        if (isHopeless || Date.now() - since >= giveUpMs) {
          this.#finish(failure);
          return;
        }
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#end !== undefined) {
      return;
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #finish(error: HoldfastError): void {
    if (this.#end === undefined) {
      this.#end = error;
      this.#wake();
      const link = this.#link;
      this.#link = undefined;
      link?.close(error.message);
      this.#ledger.end(error);
      this.#events.ended(error);
    }
  }
}

function isUnauthorized(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && error.kind === 'unauthorized';
}

function asHoldfastError(error: unknown): HoldfastError {
  return error instanceof HoldfastError
    ? error
    : new HoldfastError('refused', `the connection could not be made: ${messageOf(error)}`, { cause: error });
}

/** @throws UnsupportedError */
export function requireExtensions(what: string, facts: DaemonFacts): void {
  if (!facts.hasExtensions) {
    throw new UnsupportedError(what, facts.version);
  }
}
