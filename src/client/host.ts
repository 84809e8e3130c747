/** A daemon as a program sees it: `connect`, sessions, and requests, over a connection that may break at any time. */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { DaemonDescription, SessionEventFrame, SessionInfo } from '../wire/extension-types.ts';
import type { MethodName, ParamsOf, ResultOf } from '../wire/method-types.ts';
import type { Opening } from './attachment.ts';
import { Connection, type RetryOptions, requireExtensions } from './connection.ts';
import { type GapError, HoldfastError } from './errors.ts';
import { FlowControl } from './flow-control.ts';
import type { Frame } from './frame-reader.ts';
import type { DaemonFacts } from './handshake.ts';
import { type ContractMethods, contractMethods } from './methods.ts';
import { type AfterCut, afterCutOf } from './requests.ts';
import { Session, type SessionHost } from './session.ts';
import type { SessionOptions, SpawnOptions } from './session-options.ts';
import { type TargetOptions, targetOf } from './target.ts';
import { Watch } from './watch.ts';

/** Where the daemon is, and how the connection is kept; times in milliseconds. */
export interface ConnectOptions extends TargetOptions {
  /** Pauses between attempts, and when to give up. */
  readonly retry?: RetryOptions | undefined;
  /** Ends everything that belongs to the connection. */
  readonly signal?: AbortSignal | undefined;
  /** A ping is sent after so long without a byte; default 15 000. */
  readonly idlePingMs?: number | undefined;
  /** The connection is made anew when the ping is not answered for so long; default 10 000. */
  readonly pingTimeoutMs?: number | undefined;
  /** For making one connection, login and first reply included; default 60 000. */
  readonly connectTimeoutMs?: number | undefined;
}

/** Events of a {@link Host}, by name with their arguments. */
export interface HostEvents {
  /** A connection stands: the first one, and each that was made anew. */
  connected: [];
  /** The connection broke and is being made anew; `reason` in words. */
  disconnected: [reason: string];
  /** Frames of a session are gone for good; whether its streams end with it says `onGap`. */
  gap: [gap: GapError];
}

const defaults = {
  retry: { firstMs: 200, maxMs: 10_000, giveUpMs: Number.POSITIVE_INFINITY },
  idlePingMs: 15_000,
  pingTimeoutMs: 10_000,
  connectTimeoutMs: 60_000,
} as const;

/**
 * Connects to a daemon: over ssh, by its socket or pipe, or through a program of yours.
 *
 *     await using host = await connect({ ssh: 'user@box' });
 *
 * @throws HoldfastError `refused` when nobody answers, `unauthorized`, `unsupported` for options that contradict each other
 */
export async function connect(options: ConnectOptions = {}): Promise<Host> {
  options.signal?.throwIfAborted();
  const host = new Host(options);
  await host.opening;
  return host;
}

/** A daemon, over a connection that is made anew whenever it breaks. `connect` makes one; `close` it, or declare it by `await using`. */
export class Host extends EventEmitter<HostEvents> implements AsyncDisposable {
  /** For `connect`: settles with the first link. */
  readonly opening: Promise<void>;
  /** The daemon itself: ping, version, capabilities, shutdown. */
  readonly server: ContractMethods['server'];
  /** Files there: list, look at, read, unpack. */
  readonly files: ContractMethods['files'];
  /** Repositories there. */
  readonly git: ContractMethods['git'];
  /** The bare requests about processes; `spawn`, `session` and `observe` do more. */
  readonly process: ContractMethods['process'];
  /** Plugin folders of the host. Profile N+ only. */
  readonly plugins: ContractMethods['plugins'];
  /** Through which program the administrator there wants the CLI to be started. Profile N2 only. */
  readonly launcher: ContractMethods['launcher'];
  readonly #connection: Connection;
  readonly #flow: FlowControl;
  readonly #sessions = new Map<string, Session>();
  readonly #watches = new Set<Watch>();
  /** The answer that is waited for, for whoever asks meanwhile. */
  #listing: Promise<readonly SessionInfo[]> | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #aborted = (): void =>
    this.#end(new HoldfastError('closed', 'the connection was ended by its signal', { cause: this.#signal?.reason }));

  /** For `connect`. */
  constructor(options: ConnectOptions) {
    super();
    this.#connection = new Connection(
      targetOf(options),
      {
        idlePingMs: options.idlePingMs ?? defaults.idlePingMs,
        pingTimeoutMs: options.pingTimeoutMs ?? defaults.pingTimeoutMs,
        connectTimeoutMs: options.connectTimeoutMs ?? defaults.connectTimeoutMs,
        retry: { ...defaults.retry, ...options.retry },
      },
      {
        frame: (frame) => this.#take(frame),
        linked: () => this.#linked(),
        lost: (reason) => this.#lost(reason),
        ended: (error) => this.#ended(error),
      },
    );
    this.#flow = new FlowControl(
      (how) => this.#connection.read(how),
      () => this.#connection.awaited,
    );
    const methods = contractMethods((method, params) => this.request(method, params));
    this.server = methods.server;
    this.files = methods.files;
    this.git = methods.git;
    this.process = methods.process;
    this.plugins = methods.plugins;
    this.launcher = methods.launcher;
    this.#signal = options.signal;
    options.signal?.addEventListener('abort', this.#aborted, { once: true });
    this.opening = this.#connection.open();
  }

  /** Facts of the daemon that answered last. */
  get daemon(): DaemonFacts {
    return this.#connection.facts;
  }

  /** Whether the connection stands at this moment. */
  get isConnected(): boolean {
    return this.#connection.isLinked;
  }

  /**
   * Starts a program. A repeated call after a lost reply starts nothing twice; an id that is known already is taken over
   * (`existing` tells so).
   * @throws HoldfastError `spawn` when it cannot be started there
   */
  spawn(options: SpawnOptions): Promise<Session> {
    const { id = randomUUID(), onGap, inputBufferBytes, ...params } = options;
    return this.#open(id, { how: 'spawn', params }, { fromSeq: 0, onGap, inputBufferBytes });
  }

  /** Takes over a session that runs or can still be replayed. @throws HoldfastError `closed` when the daemon does not know it */
  session(id: string, options: SessionOptions = {}): Promise<Session> {
    return this.#open(id, { how: 'take' }, options);
  }

  /** Looks at a session without taking it from its receiver. @throws UnsupportedError */
  async observe(id: string, options: SessionOptions = {}): Promise<Session> {
    requireExtensions('observe', this.#connection.facts);
    return this.#open(id, { how: 'observe' }, options);
  }

  /** Every session of the daemon, the oldest first. @throws UnsupportedError */
  async sessions(): Promise<readonly SessionInfo[]> {
    requireExtensions('sessions', this.#connection.facts);
    return (await this.request('holdfast.sessions', {})).sessions;
  }

  /** What the daemon is. @throws UnsupportedError */
  async describe(): Promise<DaemonDescription> {
    requireExtensions('describe', this.#connection.facts);
    return this.request('holdfast.describe', {});
  }

  /**
   * The list of sessions, and from then on what happens to them; the list comes again after each reconnect.
   * @throws UnsupportedError
   */
  watch(): Watch {
    requireExtensions('watch', this.#connection.facts);
    const watch = new Watch((ended) => {
      this.#watches.delete(ended);
      if (this.#watches.size === 0) {
        this.#send('holdfast.watch', { events: false }, 'link').catch(() => {});
      }
    });
    this.#watches.add(watch);
    this.#relist();
    return watch;
  }

  /**
   * Any method of the daemon. A request that was under way when the connection broke is sent again when that is safe.
   * @throws HoldfastError `rpc` with the daemon's code and words; `closed` with `maybeDone` when the reply is lost
   */
  request<N extends MethodName>(method: N, params?: ParamsOf<N>): Promise<ResultOf<N>>;
  request(method: string, params?: object): Promise<unknown>;
  request(method: string, params?: object): Promise<unknown> {
    return this.#send(method, params, afterCutOf(method, params));
  }

  /** Closes the connection. The sessions go on without us. */
  async close(): Promise<void> {
    this.#end(new HoldfastError('closed', 'the connection was closed by this program'));
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #send(
    method: string,
    params: object | undefined,
    afterCut: AfterCut,
    inOrder?: (result: unknown) => void,
  ): Promise<unknown> {
    const reply = this.#connection.request(method, params, afterCut, inOrder);
    this.#flow.update();
    try {
      return await reply;
    } finally {
      this.#flow.update();
    }
  }

  async #open(id: string, opening: Opening, options: SessionOptions): Promise<Session> {
    if (this.#sessions.has(id)) {
      throw new HoldfastError(
        'unsupported',
        `this connection follows session ${id} already; a session has one reader on it`,
      );
    }
    if (this.#connection.end !== undefined) {
      throw this.#connection.end;
    }
    const session = new Session(this.#sessionHost, id, opening, options);
    this.#sessions.set(id, session);
    if (this.#connection.isLinked) {
      void session.linked();
    }
    await session.opened;
    return session;
  }

  readonly #sessionHost: SessionHost = this.#makeSessionHost();

  #makeSessionHost(): SessionHost {
    const facts = (): DaemonFacts => this.#connection.facts;
    return {
      get facts() {
        return facts();
      },
      request: (method, params, afterCut, inOrder) =>
        this.#send(method, params, afterCut ?? afterCutOf(method, params), inOrder),
      account: (bytes) => this.#flow.add(bytes),
      gap: (gap) => this.emit('gap', gap),
      list: () => this.#list(),
      forget: (session) => {
        if (this.#sessions.get(session.id) === session) {
          this.#sessions.delete(session.id);
        }
      },
    };
  }

  #take(frame: Exclude<Frame, { type: 'reply' }>): void {
    if (frame.type !== 'pushed') {
      this.#sessions.get(frame.processId)?.take(frame);
    } else if (frame.event === 'gap') {
      this.#sessions.get(frame.processId)?.takeGap(frame);
    } else {
      const { type: _, ...event } = frame.fields as unknown as SessionEventFrame;
      let needsList = false;
      for (const watch of this.#watches) {
        watch.push(event);
        needsList ||= watch.isFull;
      }
      if (needsList) {
        this.#relist();
      }
    }
  }

  #list(): Promise<readonly SessionInfo[]> {
    this.#listing ??= this.#send('holdfast.sessions', {}, 'link')
      .then((reply) => (reply as { readonly sessions: readonly SessionInfo[] }).sessions)
      .finally(() => {
        this.#listing = undefined;
      });
    return this.#listing;
  }

  #relist(): void {
    const told = (reply: unknown): void => {
      const { sessions } = reply as { readonly sessions: readonly SessionInfo[] };
      for (const watch of this.#watches) {
        watch.push({ event: 'sessions', sessions });
      }
    };
    // When the link is gone the next one asks again.
    this.#send('holdfast.watch', {}, 'link', told).catch(() => {});
  }

  #linked(): void {
    for (const session of [...this.#sessions.values()]) {
      void session.linked();
    }
    if (this.#watches.size > 0) {
      this.#relist();
    }
    // Not within the work of the connection: what a listener throws is its own.
    queueMicrotask(() => this.emit('connected'));
  }

  #lost(reason: string): void {
    this.#listing = undefined;
    for (const session of this.#sessions.values()) {
      session.unlinked();
    }
    queueMicrotask(() => this.emit('disconnected', reason));
  }

  #end(error: HoldfastError): void {
    this.#connection.close(error);
  }

  #ended(error: HoldfastError): void {
    this.#signal?.removeEventListener('abort', this.#aborted);
    for (const session of [...this.#sessions.values()]) {
      session.fail(error);
    }
    const isAsked = error.kind === 'closed';
    for (const watch of this.#watches) {
      watch.end(isAsked ? undefined : error);
    }
    this.#watches.clear();
  }
}
