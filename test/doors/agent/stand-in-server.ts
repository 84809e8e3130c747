/**
 * A server of the polling door for tests (spec agent.md §14): it keeps what agents send as the page says, checks every
 * signature with code of its own, and has switches for what servers and networks do wrong.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StoredChunk {
  readonly seq: number;
  readonly stream: 'stdout' | 'stderr' | 'exit';
  readonly ts: number;
  readonly data?: string;
  readonly exitCode?: number | null;
  readonly signal?: string | null;
}

export interface Acknowledgement {
  readonly id: string;
  readonly sessionId?: string;
  readonly result: 'done' | 'failed' | 'queued';
  readonly error: { readonly code: string; readonly message: string } | null;
  /** `performance.now()` of its arrival. */
  readonly arrivedAt: number;
}

export interface StatusReport {
  readonly status: 'online' | 'stopping' | 'offline';
  readonly agent: Readonly<Record<string, unknown>>;
  readonly limits: { readonly maxConcurrentSessions: number; readonly running: number; readonly queued: number };
  readonly sessions: readonly (Readonly<Record<string, unknown>> & { readonly sessionId: string })[];
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** `performance.now()` of its arrival and of the end of its answer. */
  readonly arrivedAt: number;
  answeredAt: number | undefined;
}

/** What a switch does with a request instead of answering it. */
export interface Fault {
  /** Which requests; every one by default. */
  readonly when?: (request: SeenRequest) => boolean;
  /** How many of them; every one by default. */
  times?: number;
  readonly status?: number;
  readonly body?: object | string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The request takes effect, and the connection breaks before the answer. */
  readonly loseAnswer?: true;
  /** The answer comes so late. */
  readonly delayMs?: number;
}

interface Order {
  readonly id: string;
  readonly sessionId: string;
  readonly body: object;
  settled: boolean;
  /** Instances to which it must not be handed out again. */
  readonly queuedAt: Set<string>;
  handedOut: number;
}

const longestSkewMs = 300_000;
const mostHandedOut = 20;

export class StandInServer implements AsyncDisposable {
  readonly token: string;
  readonly requests: SeenRequest[] = [];
  readonly acknowledgements: Acknowledgement[] = [];
  readonly statuses: StatusReport[] = [];
  readonly errors: (Readonly<Record<string, unknown>> & { readonly code: string })[] = [];
  /** Requests that were refused, with the reason. */
  readonly refusals: string[] = [];
  readonly faults: Fault[] = [];
  /** Sent with each answer to a poll. */
  wishedInterval: number | undefined;
  /** Each order is handed out so often, acknowledged or not. */
  leastHandOuts = 1;
  /** Chunks with more raw bytes are too large. */
  mostChunkBytes = Number.POSITIVE_INFINITY;
  /** Its clock differs from ours by so many milliseconds. */
  skewMs = 0;
  readonly #orders: Order[] = [];
  readonly #sessions = new Map<string, Session>();
  readonly #http: Server;
  #prefix = '';
  #openRequests = 0;
  /** The most requests of one route that were open at the same time. */
  readonly mostOpen = new Map<string, number>();
  readonly #open = new Map<string, number>();

  private constructor(token: string) {
    this.token = token;
    this.#http = createServer((request, response) => {
      this.#openRequests++;
      response.on('close', () => this.#openRequests--);
      void this.#take(request, response);
    });
  }

  static async start(options: { readonly token?: string; readonly prefix?: string } = {}): Promise<StandInServer> {
    const server = new StandInServer(options.token ?? 'agt_stand_in_token');
    server.#prefix = options.prefix ?? '';
    await server.listen();
    return server;
  }

  /** @param port the one it had before, after `close` */
  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject).listen(port, '127.0.0.1', resolve);
    });
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}${this.#prefix}`;
  }

  /** Nobody listens any more; what was stored stays. */
  async close(): Promise<void> {
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#http.listening) {
      await this.close();
    }
  }

  // ---- orders

  order(id: string, type: string, sessionId: string, payload?: object): void {
    this.orderRaw({
      id,
      type,
      sessionId,
      createdAt: new Date().toISOString(),
      ...(payload === undefined ? {} : { payload }),
    });
  }

  /** Something that need not be an instruction. */
  orderRaw(body: object): void {
    const { id = '', sessionId = '' } = body as { readonly id?: string; readonly sessionId?: string };
    this.#orders.push({ id, sessionId, body, settled: false, queuedAt: new Set(), handedOut: 0 });
  }

  acknowledged(id: string): readonly Acknowledgement[] {
    return this.acknowledgements.filter((each) => each.id === id);
  }

  // ---- what was stored

  session(id: string): Session {
    let session = this.#sessions.get(id);
    if (session === undefined) {
      session = new Session();
      this.#sessions.set(id, session);
    }
    return session;
  }

  /** As a server that was restored from an old backup. */
  forget(id: string): void {
    this.#sessions.delete(id);
  }

  polls(): readonly SeenRequest[] {
    return this.requests.filter(({ method }) => method === 'GET');
  }

  // ---- requests

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const arrivedAt = performance.now();
    const parts: Buffer[] = [];
    try {
      for await (const part of request) {
        parts.push(part as Buffer);
      }
    } catch {
      return;
    }
    const body = Buffer.concat(parts);
    const seen: SeenRequest = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: body.toString('utf8'),
      arrivedAt,
      answeredAt: undefined,
    };
    this.requests.push(seen);
    const route = `${seen.method} ${seen.path}`;
    const open = (this.#open.get(route) ?? 0) + 1;
    this.#open.set(route, open);
    this.mostOpen.set(route, Math.max(open, this.mostOpen.get(route) ?? 0));
    response.on('close', () => {
      this.#open.set(route, (this.#open.get(route) ?? 1) - 1);
      seen.answeredAt ??= performance.now();
    });
    const fault = this.#fault(seen);
    if (fault?.delayMs !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
    }
    if (fault?.status !== undefined) {
      response.writeHead(fault.status, fault.headers);
      response.end(typeof fault.body === 'string' ? fault.body : JSON.stringify(fault.body ?? {}));
      return;
    }
    const { status, answer } = this.#answer(seen, body);
    if (fault?.loseAnswer === true) {
      request.socket.destroy();
      return;
    }
    const date = new Date(Date.now() + this.skewMs).toUTCString();
    response.writeHead(status, { 'Content-Type': 'application/json', Date: date });
    response.end(answer === undefined ? '' : JSON.stringify(answer));
  }

  #fault(seen: SeenRequest): Fault | undefined {
    const fault = this.faults.find(({ when = () => true, times = 1 }) => times > 0 && when(seen));
    if (fault?.times !== undefined) {
      fault.times--;
    }
    return fault;
  }

  #answer(seen: SeenRequest, body: Buffer): { readonly status: number; readonly answer?: object } {
    const reason = this.#refusal(seen, body);
    if (reason !== undefined) {
      this.refusals.push(reason);
      return { status: 401, answer: { error: reason } };
    }
    const route = seen.path.slice(`${this.#prefix}/api/agent/v1`.length);
    if (seen.method === 'GET' && route.startsWith('/instructions?')) {
      return this.#instructions(String(seen.headers['x-agent-instance'] ?? ''));
    }
    const value = JSON.parse(seen.body) as Record<string, unknown>;
    if (/^\/instructions\/[^/]+\/ack$/.test(route)) {
      return this.#acknowledge(value as unknown as Acknowledgement, String(seen.headers['x-agent-instance'] ?? ''));
    }
    const [, sessionId] = /^\/sessions\/([^/]+)\/output$/.exec(route) ?? [];
    if (sessionId !== undefined) {
      return this.session(decodeURIComponent(sessionId)).store(
        value.chunks as readonly StoredChunk[],
        this.mostChunkBytes,
      );
    }
    if (route === '/status') {
      this.statuses.push(value as unknown as StatusReport);
      return { status: 200, answer: {} };
    }
    if (route === '/errors') {
      const report = value as Readonly<Record<string, unknown>> & { readonly code: string };
      this.errors.push(report);
      if (report.code === 'output_gap') {
        this.session(String(report.sessionId)).skip(Number(report.from), Number(report.to));
      }
      return { status: 200, answer: {} };
    }
    return { status: 404, answer: { error: 'no_such_route' } };
  }

  /** Bearer and signature, as section 8 has them. `undefined`: both are right. */
  #refusal({ method, path, headers }: SeenRequest, body: Buffer): string | undefined {
    if (headers.authorization !== `Bearer ${this.token}`) {
      return 'bad_token';
    }
    const timestamp = String(headers['x-signature-timestamp']);
    if (Math.abs(Number(timestamp) - (Date.now() + this.skewMs)) > longestSkewMs) {
      return 'stale_signature';
    }
    const hash = createHash('sha256').update(body).digest('hex');
    const text = ['v1', method, path, timestamp, hash].join('\n');
    const expected = Buffer.from(`sha256=${createHmac('sha256', this.token).update(text).digest('hex')}`);
    const given = Buffer.from(String(headers['x-signature']));
    return given.length === expected.length && timingSafeEqual(given, expected) ? undefined : 'bad_signature';
  }

  #instructions(instance: string): { readonly status: number; readonly answer?: object } {
    const waiting = this.#orders.filter(
      (order) => order.handedOut < this.leastHandOuts || (!order.settled && !order.queuedAt.has(instance)),
    );
    // Never-handed-out ones first, as far as the order within a session allows: here nothing is ever left out of order.
    const handed = waiting.slice(0, mostHandedOut);
    for (const order of handed) {
      order.handedOut++;
    }
    const wish = this.wishedInterval === undefined ? {} : { pollInterval: this.wishedInterval };
    return handed.length === 0 && this.wishedInterval === undefined
      ? { status: 204 }
      : { status: 200, answer: { instructions: handed.map(({ body }) => body), ...wish } };
  }

  #acknowledge(given: Acknowledgement, instance: string): { readonly status: number; readonly answer: object } {
    const order = this.#orders.find(({ id }) => id === given.id);
    this.acknowledgements.push({ ...given, arrivedAt: performance.now() });
    if (order === undefined) {
      return { status: 404, answer: { error: 'no_such_instruction' } };
    }
    if (given.result === 'queued') {
      order.queuedAt.add(instance);
    } else {
      order.settled = true;
    }
    return { status: 200, answer: {} };
  }
}

/** The stored output of one session. */
class Session {
  readonly chunks = new Map<number, StoredChunk>();
  /** How often a chunk came that was there already. */
  repeats = 0;
  #complete = 0;
  readonly #skipped = new Map<number, number>();

  /** Everything up to here is stored, or was said to be lost. */
  get complete(): number {
    return this.#complete;
  }

  /** @returns the answer to an output request */
  store(chunks: readonly StoredChunk[], mostChunkBytes: number): { readonly status: number; readonly answer: object } {
    if (chunks.some(({ data = '' }) => Buffer.byteLength(data, 'base64') > mostChunkBytes)) {
      return { status: 413, answer: { error: 'too_large' } };
    }
    const first = chunks[0]?.seq ?? 1;
    if (first > this.#complete + 1) {
      return { status: 409, answer: { error: 'gap', expected: this.#complete + 1 } };
    }
    for (const chunk of chunks) {
      if (this.chunks.has(chunk.seq)) {
        this.repeats++;
        const before = JSON.stringify(withoutTime(this.chunks.get(chunk.seq)));
        if (before !== JSON.stringify(withoutTime(chunk))) {
          throw new Error(`chunk ${chunk.seq} came again with other content`);
        }
      } else {
        this.chunks.set(chunk.seq, chunk);
      }
    }
    this.#count();
    return { status: 200, answer: { accepted: this.#complete } };
  }

  skip(from: number, to: number): void {
    this.#skipped.set(from, Math.max(to, this.#skipped.get(from) ?? 0));
    this.#count();
  }

  #count(): void {
    for (;;) {
      const next = this.#complete + 1;
      const to = this.#skipped.get(next);
      if (this.chunks.has(next)) {
        this.#complete = next;
      } else if (to !== undefined) {
        this.#complete = to;
      } else {
        return;
      }
    }
  }

  /** The bytes of one stream, in order. */
  bytes(stream: 'stdout' | 'stderr'): Buffer {
    const own = [...this.chunks.values()].filter((chunk) => chunk.stream === stream).sort((a, b) => a.seq - b.seq);
    return Buffer.concat(own.map(({ data = '' }) => Buffer.from(data, 'base64')));
  }

  text(stream: 'stdout' | 'stderr' = 'stdout'): string {
    return this.bytes(stream).toString('utf8');
  }

  /** Text of the chunk up to which nothing is missing. */
  newest(): string {
    return Buffer.from(this.chunks.get(this.#complete)?.data ?? '', 'base64').toString('utf8');
  }

  get exit(): StoredChunk | undefined {
    return [...this.chunks.values()].find(({ stream }) => stream === 'exit');
  }
}

function withoutTime(chunk: StoredChunk | undefined): object {
  return { ...chunk, ts: 0 };
}
