/** One connection to a daemon, from its first byte to its last: frames in, request lines out, and signs of life. */
import { HoldfastError, messageOf } from './errors.ts';
import { type Frame, FrameReader } from './frame-reader.ts';
import type { Transport } from './transport.ts';

export interface LinkTimers {
  /** A ping is sent after so long without a byte from the daemon. */
  readonly idlePingMs: number;
  /** The link is cut when nothing comes for so long after the ping. */
  readonly pingTimeoutMs: number;
}

export interface LinkEvents {
  frame(frame: Frame): void;
  /** Called once; nothing else is called after it. */
  closed(reason: string): void;
}

export type ReadingMode = 'flow' | 'sip' | 'stop';

/** How often a little is taken: the daemon paces a program for a reader that has taken a byte in the last 10 s. */
const sipMs = 4_000;
/** The longest request line a daemon reads (spec wire.md §2). */
export const maxRequestBytes = 1_048_575;
/** Id of our pings; requests of the ledger have numbers. */
const pingId = 'ping';

export class Link {
  readonly #transport: Transport;
  #events: LinkEvents = { frame: () => {}, closed: () => {} };
  readonly #timers: LinkTimers;
  readonly #token: string;
  readonly #reader = new FrameReader();
  #closed = false;
  #reading: ReadingMode = 'flow';
  #lastByteAt = Date.now();
  /** Bytes of frames have come on this link. */
  #heard = false;
  #failure: HoldfastError | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #sipTimer: NodeJS.Timeout | undefined;

  constructor(transport: Transport, token: string, timers: LinkTimers) {
    this.#transport = transport;
    this.#token = token;
    this.#timers = timers;
    transport.listen((chunk) => this.#take(chunk));
    transport.closed.then((reason) => this.close(reason));
    this.#awaitBytes(timers.idlePingMs, () => this.#ping());
  }

  /** Whether anything has come; a relay that ends before has found nobody at its other end. */
  get heard(): boolean {
    return this.#heard;
  }

  /** Set when what came was no frame. */
  get failure(): HoldfastError | undefined {
    return this.#failure;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Who is told from now on. */
  listen(events: LinkEvents): void {
    this.#events = events;
  }

  /** @throws HoldfastError `protocol` when the line is longer than a daemon reads */
  send(id: number | string, method: string, params: object | undefined): void {
    const line = `${JSON.stringify({ jsonrpc: '2.0', id, method, params, auth: this.#token })}\n`;
    if (line.length * 3 > maxRequestBytes) {
      const bytes = Buffer.byteLength(line) - 1;
      if (bytes > maxRequestBytes) {
        throw new HoldfastError(
          'protocol',
          `the request ${method} has ${bytes} bytes, the most a daemon reads is ${maxRequestBytes}; send less at once`,
        );
      }
    }
    if (!this.#closed) {
      this.#transport.write(line);
    }
  }

  /**
   * How to read: `flow`; `sip`, nothing but a little now and then, so that the daemon paces what writes too fast for us and
   * does not take us for dead; `stop`, nothing at all.
   */
  read(how: ReadingMode): void {
    if (this.#closed || how === this.#reading) {
      return;
    }
    if (how === 'flow') {
      // What was sent before we stopped says nothing about the link now.
      this.#lastByteAt = Date.now();
    }
    if ((how === 'flow') !== (this.#reading === 'flow')) {
      this.#transport.hold(how !== 'flow');
    }
    this.#reading = how;
    clearInterval(this.#sipTimer);
    if (how !== 'flow') {
      // Not unreferenced: a socket that is not read keeps no program alive, and this one waits for its output.
      this.#sipTimer = setInterval(() => this.#reading === 'sip' && this.#transport.sip(), sipMs);
    }
  }

  close(reason: string): void {
    if (!this.#closed) {
      this.#closed = true;
      clearTimeout(this.#idleTimer);
      clearInterval(this.#sipTimer);
      this.#transport.destroy();
      this.#events.closed(reason);
    }
  }

  #take(chunk: Buffer): void {
    if (this.#closed) {
      return;
    }
    this.#lastByteAt = Date.now();
    this.#heard = true;
    this.#reader.push(chunk);
    try {
      for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
        if (frame.type !== 'reply' || frame.id !== pingId) {
          this.#events.frame(frame);
        }
        if (this.#closed) {
          return;
        }
      }
    } catch (error) {
      this.#failure = error as HoldfastError;
      this.close(messageOf(error));
    }
  }

  /** Calls `silent` when no byte has come for `ms`; a link that we do not read from is not asked. */
  #awaitBytes(ms: number, silent: () => void): void {
    const left = this.#reading !== 'flow' ? ms : this.#lastByteAt + ms - Date.now();
    if (left <= 0) {
      silent();
      return;
    }
    this.#idleTimer = setTimeout(() => this.#awaitBytes(ms, silent), left);
    this.#idleTimer.unref();
  }

  #ping(): void {
    this.send(pingId, 'server.ping', undefined);
    const asked = Date.now();
    const { idlePingMs, pingTimeoutMs } = this.#timers;
    this.#idleTimer = setTimeout(() => {
      if (this.#lastByteAt >= asked || this.#reading !== 'flow') {
        this.#awaitBytes(idlePingMs, () => this.#ping());
      } else {
        this.close(`no answer to a ping for ${pingTimeoutMs} ms; the connection is dead`);
      }
    }, pingTimeoutMs);
    this.#idleTimer.unref();
  }
}
