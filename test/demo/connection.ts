/** The demo's client: JSON lines over the standard streams of a relay, as a client behind ssh has them. */
import type { ChildProcess } from 'node:child_process';
import { type ExitFrame, readStreamFrame, type StreamFrame, type StreamRecord } from '../support/streams.ts';

interface Reply {
  readonly id: unknown;
  // biome-ignore lint/suspicious/noExplicitAny: the demo states the shape it expects where it looks at it.
  readonly result?: any;
  readonly error?: { readonly code: number; readonly message: string };
}

export interface ConnectionOptions {
  /** A running `holdfast -bridge`. */
  readonly relay: ChildProcess;
  readonly token: string;
  /** Where the frames of the one program go, over all connections. */
  readonly record: StreamRecord;
  /** Called after every frame. */
  onFrame(frame: StreamFrame): void;
}

export class Connection {
  /** Bytes of a frame that has not come whole. */
  partialBytes = 0;
  readonly #options: ConnectionOptions;
  readonly #replies = new Map<unknown, PromiseWithResolvers<Reply>>();
  readonly #exit = Promise.withResolvers<ExitFrame>();
  #pieces: Buffer[] = [];
  #nextId = 1;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { stdin, stdout } = options.relay;
    stdout?.on('data', (bytes: Buffer) => this.#receive(bytes));
    // The relay ending is how a cut looks from here.
    stdin?.on('error', () => {});
    options.relay.once('close', () => this.#fail(new Error('the connection ended')));
    this.#exit.promise.catch(() => {});
  }

  /** @returns the result. @throws when it is refused, or the connection ends first */
  // biome-ignore lint/suspicious/noExplicitAny: see Reply.
  async call(method: string, params: object): Promise<any> {
    const id = this.#nextId++;
    const waiting = Promise.withResolvers<Reply>();
    this.#replies.set(id, waiting);
    const request = { jsonrpc: '2.0', id, method, params, auth: this.#options.token };
    this.#options.relay.stdin?.write(`${JSON.stringify(request)}\n`);
    const { result, error } = await waiting.promise;
    if (error !== undefined) {
      throw new Error(`${method} was refused: ${error.message}`);
    }
    return result;
  }

  /** Resolves with the exit frame. @throws when the connection ends first */
  untilExit(): Promise<ExitFrame> {
    return this.#exit.promise;
  }

  /** Takes nothing more in: what the daemon sends now is on its way and never arrives. */
  stopReading(): void {
    this.#options.relay.stdout?.pause();
  }

  #receive(bytes: Buffer): void {
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      this.#takeLine(Buffer.concat([...this.#pieces, bytes.subarray(start, end)]));
      this.#pieces = [];
      this.partialBytes = 0;
      start = end + 1;
    }
    if (start < bytes.length) {
      this.#pieces.push(bytes.subarray(start));
      this.partialBytes += bytes.length - start;
    }
  }

  #takeLine(line: Buffer): void {
    const { record, onFrame } = this.#options;
    const frame = readStreamFrame(line);
    if (frame === undefined) {
      const reply: Reply = JSON.parse(line.toString());
      this.#replies.get(reply.id)?.resolve(reply);
      this.#replies.delete(reply.id);
      return;
    }
    record.add(frame);
    onFrame(frame);
    if (frame.stream === 'exit') {
      this.#exit.resolve(frame);
    }
  }

  #fail(error: Error): void {
    for (const waiting of this.#replies.values()) {
      waiting.reject(error);
    }
    this.#replies.clear();
    this.#exit.reject(error);
  }
}
