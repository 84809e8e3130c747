/**
 * One HTTP connection of a scraper: requests without a body are read one by one, and answered one at a time (RFC 9112).
 * Not `node:http`: its parser turns all that one read of a socket brings into requests, thousands of them, before anything
 * can stop it, and so every neighbour who may connect could hold up the event loop (threat 11 of docs/security.md).
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';

export interface ScrapeRequest {
  readonly method: string;
  /** Path and query, as they were sent. */
  readonly target: string;
  /** `undefined`: no such header. */
  readonly host: string | undefined;
}

export interface ScrapeAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

export interface ScrapeConnectionOptions {
  /** Never rejects. */
  answer(request: ScrapeRequest): Promise<ScrapeAnswer>;
  /** How long a request may take to arrive, and an answer to be taken. */
  readonly requestMs: number;
  /** How long a connection is kept without a request. */
  readonly idleMs: number;
  /** The connection was cut before its time. */
  onCut(reason: string): void;
  onClose(): void;
}

const headEnd = Buffer.from('\r\n\r\n');
/** A request line and its headers. */
const maxHeadBytes = 8_192;
const requestLine = /^([A-Z]+) (\S+) HTTP\/1\.([01])$/;
const textType = 'text/plain; charset=utf-8';

export class ScrapeConnection {
  readonly #socket: Socket;
  readonly #options: ScrapeConnectionOptions;
  #received: Buffer = Buffer.alloc(0);
  #answering = false;
  /** This answer is the last one. */
  #ending = false;
  #inputEnded = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, options: ScrapeConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#limit(options.requestMs, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    // A client that sends no more still gets the answer to what it has sent.
    socket.on('end', () => {
      this.#inputEnded = true;
      this.#endWhenDone();
    });
    socket.on('close', () => {
      clearTimeout(this.#timer);
      options.onClose();
    });
  }

  /** Whether it may make room for another one: nothing of it is being answered. */
  get isWaiting(): boolean {
    return !this.#answering;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.#ending) {
      return;
    }
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    this.#serve();
  }

  /** At most one request waits while another is answered. */
  #serve(): void {
    if (this.#ending) {
      return;
    }
    const end = this.#received.indexOf(headEnd);
    const headBytes = end < 0 ? this.#received.length : end;
    if (headBytes > maxHeadBytes) {
      this.#cut(`its request has more than ${maxHeadBytes} bytes`);
    } else if (end < 0) {
      return;
    } else if (!this.#answering) {
      const head = this.#received.toString('latin1', 0, end);
      this.#received = Buffer.from(this.#received.subarray(end + headEnd.length));
      void this.#answer(head);
      // What came with it waits, and may be one request too many already.
      this.#serve();
    } else if (this.#received.length > end + headEnd.length) {
      this.#cut('it sends requests without waiting for the answers');
    }
  }

  async #answer(head: string): Promise<void> {
    this.#answering = true;
    clearTimeout(this.#timer);
    // An empty line before a request is passed over.
    const [first = '', ...lines] = head.replace(/^(\r\n)+/, '').split('\r\n');
    const [, method = '', target = '', minor] = requestLine.exec(first) ?? [];
    const headers = new Map(lines.map(headerOf));
    const has = (name: string, word: string) => headers.get(name)?.toLowerCase().includes(word) === true;
    const hasBody = headers.has('transfer-encoding') || (headers.get('content-length') ?? '0') !== '0';
    const keeps = minor === '1' ? !has('connection', 'close') : has('connection', 'keep-alive');
    if (!keeps || hasBody) {
      this.#ending = true;
    }
    const answer =
      minor === undefined
        ? { status: 400, type: textType, text: '' }
        : await this.#options.answer({ method, target, host: headers.get('host') });
    if (this.#socket.destroyed) {
      return;
    }
    this.#limit(this.#options.requestMs, () => this.#cut('it does not take its answer'));
    this.#socket.write(this.#bytesOf(answer, method), () => this.#answered());
  }

  #bytesOf({ status, type, text }: ScrapeAnswer, method: string): string {
    const lines = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      `Content-Type: ${type}`,
      `Content-Length: ${Buffer.byteLength(text)}`,
      `Date: ${new Date().toUTCString()}`,
      `Connection: ${this.#ending ? 'close' : 'keep-alive'}`,
    ];
    return `${lines.join('\r\n')}\r\n\r\n${method === 'HEAD' ? '' : text}`;
  }

  /** The system has taken the whole answer. */
  #answered(): void {
    this.#answering = false;
    this.#limit(this.#options.idleMs, () => this.#socket.destroy());
    this.#serve();
    this.#endWhenDone();
  }

  #endWhenDone(): void {
    if (!this.#answering && (this.#ending || this.#inputEnded)) {
      this.#ending = true;
      this.#socket.end();
    }
  }

  #cut(reason: string): void {
    if (!this.#socket.destroyed) {
      this.#ending = true;
      this.#socket.destroy();
      this.#options.onCut(reason);
    }
  }

  #limit(ms: number, work: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(work, ms).unref();
  }
}

function headerOf(line: string): [name: string, value: string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
