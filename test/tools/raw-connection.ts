/**
 * A connection to a daemon, line by line: what is sent is what the test wrote, and every frame is kept as it came. For tests of
 * the wire, of half frames, of slow reading; a test that only needs a client uses the library (test/support/host.ts).
 *
 *     await using raw = await connectRaw(daemon);
 *     raw.sendLine('{"jsonrpc":"2.0","id":1,"method":"server.ping"}');
 *     await raw.waitFor(() => raw.lines[0], 'the reply');
 */
import { connect as dial, type Socket } from 'node:net';
import { type ExitFrame, readStreamFrame, StreamRecord } from '../support/streams.ts';
import { patienceMs } from '../support/wait.ts';

export interface Reply {
  readonly id: unknown;
  // biome-ignore lint/suspicious/noExplicitAny: a test states the shape it expects right where it looks at it.
  readonly result?: any;
  readonly error?: { readonly code: number; readonly message: string };
  /** The frame as it came, without its line end. */
  readonly raw: string;
}

/** What a client tells the one who writes the history of a run (test/tools/history-log.ts). */
export interface ConnectionObserver {
  connected(connection: string): void;
  sent(connection: string, line: string): void;
  /** `line` is valid during the call only. */
  received(connection: string, line: Buffer): void;
  closed(connection: string, by: 'client' | 'daemon'): void;
}

export interface RawConnectionOptions {
  /** Name of the connection in a history and in messages. */
  readonly name?: string;
  /** Sent with every request; `undefined`: the daemon's token. `null`: no `auth` at all. */
  readonly auth?: string | null;
  /** `figures` keeps counts and hashes instead of frames, so that a stream of any size fits. Default `frames`. */
  readonly keep?: 'frames' | 'figures';
  /** An earlier connection whose stream records go on here, as a client does that reconnects and reattaches. */
  readonly continues?: RawConnection;
  readonly observer?: ConnectionObserver;
}

/** Where to connect: a `TestDaemon`, or any socket (the fault proxy's) with the token to send. */
export interface Endpoint {
  readonly socket: string;
  readonly token: string;
}

let connections = 0;

/** Opens a connection. @throws the dial error */
export function connectRaw(endpoint: Endpoint, options: RawConnectionOptions = {}): Promise<RawConnection> {
  return new Promise((resolve, reject) => {
    const socket = dial({ path: endpoint.socket, allowHalfOpen: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(new RawConnection(socket, endpoint, options));
    });
  });
}

export class RawConnection implements AsyncDisposable {
  readonly name: string;
  readonly socket: Socket;
  /** Every frame as it came, in order of arrival; empty when only figures are kept. */
  readonly lines: string[] = [];
  /** Replies in order of arrival. */
  readonly replies: Reply[] = [];
  /** Lines that are neither a reply nor a stream frame. */
  readonly strays: string[] = [];
  /** Bytes after the last line end. */
  partial = Buffer.alloc(0);
  /** The daemon has sent end of file or a reset, or we have closed. */
  ended = false;
  /** Why the connection broke (`ECONNRESET`, `EPIPE`), `undefined` after a clean end. */
  error: NodeJS.ErrnoException | undefined;
  readonly #auth: string | null;
  readonly #options: RawConnectionOptions;
  readonly #keepFrames: boolean;
  readonly #streams: Map<string, StreamRecord>;
  readonly #repliesById = new Map<unknown, Reply>();
  readonly #waiting = new Set<() => void>();
  #partialPieces: Buffer[] = [];
  #nextId = 1;

  constructor(socket: Socket, endpoint: Endpoint, options: RawConnectionOptions) {
    this.socket = socket;
    this.name = options.name ?? `connection-${++connections}`;
    this.#options = options;
    this.#auth = options.auth === undefined ? endpoint.token : options.auth;
    this.#keepFrames = options.keep !== 'figures';
    this.#streams = options.continues === undefined ? new Map() : options.continues.#streams;
    options.observer?.connected(this.name);
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('end', () => this.#end('daemon'));
    socket.on('close', () => this.#end('daemon'));
  }

  /** Sends a request and resolves with its reply, result or error alike. */
  async request(method: string, params?: object): Promise<Reply> {
    const id = this.post(method, params);
    return this.waitFor(() => this.#repliesById.get(id), `the reply to ${method} (id ${id})`);
  }

  /** Sends a request and resolves with its result. @throws with the error frame when it is refused */
  async call(method: string, params?: object): Promise<Reply['result']> {
    const reply = await this.request(method, params);
    if (reply.error !== undefined) {
      throw new Error(`${method} was refused: ${reply.raw}`);
    }
    return reply.result;
  }

  /** Sends a request without waiting and returns its id. */
  post(method: string, params?: object): number {
    const id = this.#nextId++;
    this.sendLine(
      JSON.stringify({ jsonrpc: '2.0', id, method, params, ...(this.#auth === null ? {} : { auth: this.#auth }) }),
    );
    return id;
  }

  spawn(id: string, command: string, args: readonly string[] = [], more: object = {}): Promise<Reply['result']> {
    return this.call('process.spawn', { id, command, args, ...more });
  }

  stdin(id: string, data: string | Buffer, offset?: number): Promise<Reply> {
    return this.request('process.stdin', { id, data: Buffer.from(data).toString('base64'), offset });
  }

  kill(id: string, signal?: string): Promise<Reply['result']> {
    return this.call('process.kill', { id, signal });
  }

  /** Takes the process over, by default from the last frame seen. */
  reattach(id: string, fromSeq = this.stream(id).lastSeq): Promise<Reply['result']> {
    return this.call('process.reattach', { id, fromSeq });
  }

  /** What came of a process so far. */
  stream(processId: string): StreamRecord {
    let record = this.#streams.get(processId);
    if (record === undefined) {
      record = new StreamRecord(processId, this.#keepFrames);
      this.#streams.set(processId, record);
    }
    return record;
  }

  exitOf(processId: string, options?: { readonly timeoutMs?: number }): Promise<ExitFrame> {
    return this.waitFor(() => this.stream(processId).exit, `the exit frame of ${processId}`, options);
  }

  /** Resolves when the process's stdout so far holds `text`. Needs kept frames. */
  untilOutput(processId: string, text: string): Promise<true> {
    return this.waitFor(
      () => this.stream(processId).text().includes(text),
      `${JSON.stringify(text)} from ${processId}`,
    );
  }

  /**
   * Resolves with the first value of `look` that is neither `undefined` nor `false`; looks again after everything that arrives.
   * @throws when the connection ends or nothing comes, with what did come
   */
  waitFor<T>(
    look: () => T | undefined | false,
    what: string,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<T> {
    const timeoutMs = options.timeoutMs ?? patienceMs;
    return new Promise((resolve, reject) => {
      const settle = (work: () => void) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        work();
      };
      const check = () => {
        const seen = look();
        if (seen !== undefined && seen !== false) {
          settle(() => resolve(seen));
        } else if (this.ended) {
          settle(() => reject(new Error(`${this.name} ended while waiting for ${what}\n${this.summary()}`)));
        }
      };
      const timer = setTimeout(
        () => settle(() => reject(new Error(`${this.name}: waited ${timeoutMs} ms for ${what}\n${this.summary()}`))),
        timeoutMs,
      );
      this.#waiting.add(check);
      check();
    });
  }

  /** Resolves when the daemon has closed the connection. */
  untilClosed(): Promise<true> {
    return this.waitFor(() => this.ended, 'the daemon to close the connection');
  }

  /** Sends bytes as they are; nothing is added. */
  send(bytes: string | Buffer): void {
    this.socket.write(bytes);
  }

  /** Sends one raw line; the line end is added. */
  sendLine(line: string): void {
    this.#options.observer?.sent(this.name, line);
    this.socket.write(`${line}\n`);
  }

  /** Stops reading: the daemon sees a reader that is slow or never reads. At most 64 KiB more come in. */
  pauseReading(): void {
    this.socket.pause();
  }

  resumeReading(): void {
    this.socket.resume();
  }

  /** Ends our write side only. */
  halfClose(): void {
    this.socket.end();
  }

  /** Ends the connection and waits until it is closed. */
  async close(): Promise<void> {
    this.#end('client');
    if (!this.socket.destroyed) {
      const closed = new Promise((resolve) => this.socket.once('close', resolve));
      this.socket.destroySoon();
      await closed;
    }
  }

  /** Drops the connection at once, as a client that is killed. */
  destroy(): void {
    this.#end('client');
    this.socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.destroy();
  }

  /** For failure messages: the last replies and the figures of each stream. */
  summary(): string {
    const streams = [...this.#streams.values()].map(
      ({ processId, count, lastSeq, exit }) =>
        `  ${processId}: ${count} frames, last seq ${lastSeq}, ${exit?.raw ?? 'no exit'}`,
    );
    const replies = this.replies.slice(-3).map(({ raw }) => `  ${raw.slice(0, 300)}`);
    return ['last replies:', ...replies, 'streams:', ...streams, ...this.strays.map((line) => `stray: ${line}`)].join(
      '\n',
    );
  }

  #receive(bytes: Buffer): void {
    if (this.ended) {
      // We have closed; what was on its way is not ours any more.
      return;
    }
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      const tail = bytes.subarray(start, end);
      this.#takeLine(this.#partialPieces.length === 0 ? tail : Buffer.concat([...this.#partialPieces, tail]));
      this.#partialPieces = [];
      start = end + 1;
    }
    if (start < bytes.length) {
      this.#partialPieces.push(bytes.subarray(start));
    }
    this.#lookAgain();
  }

  #takeLine(line: Buffer): void {
    this.#options.observer?.received(this.name, line);
    const raw = this.#keepFrames ? line.toString() : undefined;
    if (raw !== undefined) {
      this.lines.push(raw);
    }
    const frame = readStreamFrame(line, raw);
    if (frame !== undefined) {
      this.stream(frame.processId).add(frame);
      return;
    }
    const text = raw ?? line.toString();
    const reply = parseReply(text);
    if (reply === undefined) {
      this.strays.push(text);
    } else {
      this.replies.push(reply);
      this.#repliesById.set(reply.id, reply);
    }
  }

  #end(by: 'client' | 'daemon'): void {
    if (!this.ended) {
      this.ended = true;
      this.partial = Buffer.concat(this.#partialPieces);
      this.#options.observer?.closed(this.name, by);
      if (by === 'daemon') {
        // Half-open sockets are ours to end.
        this.socket.end();
      }
    }
    this.#lookAgain();
  }

  #lookAgain(): void {
    for (const check of [...this.#waiting]) {
      check();
    }
  }
}

function parseReply(raw: string): Reply | undefined {
  try {
    const value = JSON.parse(raw);
    return value !== null && typeof value === 'object' && 'id' in value ? { ...value, raw } : undefined;
  } catch {
    return undefined;
  }
}
