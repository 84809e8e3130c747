/**
 * One WebSocket to a broker, through the proxy that the environment names, trusting the authorities that `-install` trusts.
 * What comes from the broker is bounded: a frame's size, and what waits for a broker that does not read.
 */
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import type { Paths } from '../../../../platform/paths.ts';
import { messageOf } from '../../../base/error-texts.ts';
import { trustedAuthorities } from '../../../install/certificates.ts';
import { openConnection } from '../../../install/connection.ts';
import { proxyFor } from '../../../install/proxy.ts';
import { installTimings } from '../../../install/timings.ts';
import type { Frame } from './inbound.ts';

export interface SocketOptions {
  readonly url: string;
  /** Names proxies and authorities. */
  readonly environment: NodeJS.ProcessEnv;
  readonly paths: Paths;
  /** The connection must stand within this time. */
  readonly connectMs: number;
  /** Without a frame or a ping for so long the socket is given up. */
  readonly silenceMs: number;
  /** A warning of the look for authorities. */
  warn(text: string): void;
}

export interface SocketEvents {
  onOpen(): void;
  onFrame(frame: Frame): void;
  /** Followed by `onClose`. */
  onError(text: string): void;
  /** Once, and last. */
  onClose(code: number, reason: string): void;
}

/** The longest frame a broker may send: a list of ten thousand peers fits in. */
export const mostIncomingBytes = 4 * 1024 * 1024;
/** Everything but such a list is a message of at most 64 KiB, and what a broker says about it. */
export const mostFrameCharacters = 256 * 1024;
const mostLevels = 64;
/** Our answers to a broker that sends and never reads. */
const mostUnsentBytes = 1024 * 1024;

/** Frames are taken for so long at a time. */
const turnMs = 10;

export class BrokerSocket {
  readonly #socket: WebSocket;
  readonly #events: SocketEvents;
  readonly #silence: NodeJS.Timeout;
  #hasGivenUp = false;
  readonly #ended = new AbortController();
  /** Frames whose turn has not come. While there are any, no more is read from the socket. */
  readonly #waiting: Buffer[] = [];
  /** Ends the present turn. */
  #turn: NodeJS.Immediate | undefined;
  #turnEndsAt = 0;

  constructor(options: SocketOptions, events: SocketEvents) {
    this.#events = events;
    this.#silence = setTimeout(
      () => this.#giveUp(`no frame and no ping for ${options.silenceMs / 1000} s`),
      options.silenceMs,
    );
    this.#socket = new WebSocket(options.url, {
      maxPayload: mostIncomingBytes,
      perMessageDeflate: false,
      createConnection: ((_: unknown, opened: (error: Error | null, socket?: Duplex) => void) => {
        this.#connect(options).then(
          (socket) => opened(null, socket),
          (error: unknown) => opened(error as Error),
        );
      }) as never,
    });
    // Not that of `ws`, which sees nothing of a socket that we have opened.
    const late = setTimeout(
      () => this.#giveUp(`no connection within ${options.connectMs / 1000} s`),
      options.connectMs,
    );
    const heard = (): unknown => this.#silence.refresh();
    this.#socket
      .on('open', () => {
        clearTimeout(late);
        heard();
        events.onOpen();
      })
      .on('ping', heard)
      .on('message', (data: Buffer, isBinary) => {
        heard();
        if (!isBinary) {
          this.#arrived(data);
        }
      })
      .on('error', (error) => this.#report(messageOf(error)))
      .on('close', (code, reason) => {
        clearTimeout(late);
        clearTimeout(this.#silence);
        this.#takeRest();
        this.#ended.abort(new Error('the socket was closed'));
        events.onClose(code, reason.toString('utf8'));
      });
  }

  /** @param text one frame @returns whether it was handed to the system; an answer tells whether it arrived */
  write(text: string): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) {
      return false;
    }
    if (this.#socket.bufferedAmount > mostUnsentBytes) {
      this.#giveUp(
        `the broker reads nothing: ${this.#socket.bufferedAmount} bytes wait, the limit is ${mostUnsentBytes}`,
      );
      return false;
    }
    this.#socket.send(text);
    return true;
  }

  /** With a close frame, whose answer is not waited for longer than `waitMs`. */
  close(waitMs: number): void {
    this.#hasGivenUp = true;
    this.#socket.close(1000);
    const late = setTimeout(() => this.#socket.terminate(), waitMs);
    this.#socket.once('close', () => clearTimeout(late));
  }

  /** At once. */
  terminate(): void {
    this.#socket.terminate();
  }

  #take(data: Buffer): void {
    if (this.#hasGivenUp) {
      return;
    }
    const frame = parsed(data.toString('utf8'));
    if (frame === undefined) {
      return;
    }
    if (data.length > mostFrameCharacters && frame.type !== 'peers_list') {
      this.#giveUp(`a frame of ${data.length} bytes that is no list of peers; the limit is ${mostFrameCharacters}`);
      return;
    }
    this.#events.onFrame(frame);
  }

  /** A broker that sends without end does not keep local programs from their answers: after each turn they have theirs. */
  #arrived(data: Buffer): void {
    this.#waiting.push(data);
    if (this.#turn === undefined) {
      this.#beginTurn();
    } else {
      this.#takeWhileTurn();
    }
  }

  #beginTurn(): void {
    this.#turnEndsAt = performance.now() + turnMs;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      if (this.#waiting.length > 0) {
        this.#beginTurn();
      } else {
        this.#socket.resume();
      }
    });
    this.#takeWhileTurn();
  }

  #takeWhileTurn(): void {
    while (this.#waiting.length > 0 && performance.now() < this.#turnEndsAt) {
      this.#take(this.#waiting.shift() as Buffer);
    }
    if (this.#waiting.length > 0) {
      this.#socket.pause();
    }
  }

  /** What came before the close is taken before it is told. */
  #takeRest(): void {
    clearImmediate(this.#turn);
    for (const data of this.#waiting.splice(0)) {
      this.#take(data);
    }
  }

  #giveUp(why: string): void {
    this.#report(why);
    this.#hasGivenUp = true;
    this.#socket.terminate();
  }

  /** What the end that we have made ourselves breaks is nobody's fault. */
  #report(why: string): void {
    if (!this.#hasGivenUp) {
      this.#events.onError(why);
    }
  }

  #connect({ url, environment, paths, connectMs, warn }: SocketOptions): Promise<Duplex> {
    // The rules for proxies and authorities are those of downloads, which know the two schemes of HTTP.
    const target = new URL(url.replace(/^ws/i, 'http'));
    const proxy = target.protocol === 'https:' ? proxyFor(target, environment) : undefined;
    return openConnection(target, proxy, {
      ...{ paths, signal: this.#ended.signal },
      timings: { ...installTimings, connectMs, tlsHandshakeMs: connectMs },
      authorities: () => trustedAuthorities({ environment, paths, warn }),
    }).then(({ socket }) => socket);
  }
}

function parsed(text: string): Frame | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && isShallow(value, mostLevels) ? (value as Frame) : undefined;
  } catch {
    return undefined;
  }
}

/** What is nested deeper than any frame cannot be written as JSON again, as an answer or an event. */
function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) {
    return true;
  }
  return levels > 0 && Object.values(value).every((part) => isShallow(part, levels - 1));
}
