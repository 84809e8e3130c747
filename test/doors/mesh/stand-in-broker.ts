/**
 * A message broker for tests (spec mesh.md §9.6): it checks hello with code of its own, answers and forwards as the page
 * says, writes down everything that crossed the wire, and has switches for what brokers and networks do wrong.
 *
 * Direct messages that no `client_ack` has answered are kept, also across `stop` and `restart`, and pushed again when the
 * member connects, or after `pushAgainMs`: a broker with a database. It does not deduplicate.
 */
import { randomBytes, verify } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Member, verificationKey } from './members.ts';

export type Frame = Readonly<Record<string, unknown>>;

export interface SeenFrame {
  /** Display name of the sender; empty before its hello. */
  readonly from: string;
  readonly frame: Frame;
}

export interface BrokerOptions {
  readonly members: readonly Member[];
  /** How often it pings, and after how long without an answer it drops a peer. */
  readonly pingMs?: number;
  /** A direct message without `client_ack` is pushed again after this time. */
  readonly pushAgainMs?: number;
}

/** A socket whose hello was accepted. */
interface Connection {
  readonly socket: WebSocket;
  readonly member: Member;
  readonly sessionId: string;
  readonly displayName: string;
  readonly hello: Frame;
  readonly connectedAt: string;
  status: string;
  summary: string | null;
  visible: boolean;
  profile: Frame;
}

interface Waiting {
  readonly push: Record<string, unknown>;
  readonly recipient: string;
  timer: NodeJS.Timeout | undefined;
}

const longestSkewMs = 60_000;
const mostMessageBytes = 65_536;
/** A peer whose socket closed counts as connected for this time, so messages for it are accepted. */
const goneAfterMs = 90_000;

export class StandInBroker implements AsyncDisposable {
  readonly frames: SeenFrame[] = [];
  /** Every text in both directions, as it crossed the wire. */
  readonly wire: string[] = [];
  /** Reasons for which a hello was refused. */
  readonly refusals: string[] = [];
  /** Accepted hellos so far. */
  hellos = 0;

  /** The next so many acks are not sent; the messages are forwarded. */
  dropAcks = 0;
  /** The next so many sends are lost, without ack and without push. */
  dropSends = 0;
  /** Acks and error answers come so late. */
  ackDelayMs = 0;
  /** The next sends are refused with these texts, one each, and not forwarded. */
  readonly errors: string[] = [];
  /** The next sends are answered by closing the sender's socket with this code, after they were forwarded. */
  readonly closeAtSend: { readonly code: number; readonly reason?: string }[] = [];
  /** Each push is sent so often. */
  pushTimes = 1;
  /** Its clock is ahead of ours by so many milliseconds. */
  skewMs = 0;
  /** While set, every hello is answered by this close. */
  closeAtHello: { readonly code: number; readonly reason?: string } | undefined;
  /** While set, this is the `peers` of every list, whatever it is. */
  listed: { readonly peers: unknown } | undefined;
  /** While true, sockets are accepted and nothing is ever answered. */
  isSilent = false;

  readonly #members: Map<string, Member>;
  readonly #options: BrokerOptions;
  readonly #connections = new Set<Connection>();
  readonly #sockets = new Set<WebSocket>();
  readonly #waiting: Waiting[] = [];
  /** `performance.now()` at which the last socket of a member was closed. */
  readonly #goneAt = new Map<string, number>();
  #server: WebSocketServer | undefined;
  #port = 0;
  #pinging: NodeJS.Timeout | undefined;

  private constructor(options: BrokerOptions) {
    this.#options = options;
    this.#members = new Map(options.members.map((member) => [member.memberId, member]));
  }

  static async start(options: BrokerOptions): Promise<StandInBroker> {
    const broker = new StandInBroker(options);
    await broker.restart();
    return broker;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}/ws`;
  }

  get port(): number {
    return this.#port;
  }

  /** Display names of those connected now. */
  get connected(): readonly string[] {
    return [...this.#connections].map(({ displayName }) => displayName);
  }

  /** How many direct messages no `client_ack` has answered yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  join(member: Member): void {
    this.#members.set(member.memberId, member);
  }

  /** Listens again at the port it had; what it keeps for its members is still there. */
  async restart(): Promise<void> {
    const server = new WebSocketServer({
      host: '127.0.0.1',
      port: this.#port,
      path: '/ws',
      maxPayload: mostMessageBytes,
    });
    await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
    server.on('connection', (socket) => this.#accept(socket));
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    this.#pinging = setInterval(() => {
      for (const socket of this.#sockets) {
        socket.ping();
      }
    }, this.#options.pingMs ?? 30_000);
  }

  /** Nobody listens any more. @param code the close code its peers see; without one the sockets break */
  async stop(code?: number, reason?: string): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    clearInterval(this.#pinging);
    for (const { timer } of this.#waiting) {
      clearTimeout(timer);
    }
    if (server === undefined) {
      return;
    }
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) {
      if (code === undefined) {
        socket.terminate();
      } else {
        socket.close(code, reason);
      }
    }
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Closes every socket of a member, or of all. */
  close(code: number, reason = '', displayName?: string): void {
    for (const connection of [...this.#connections]) {
      if (displayName === undefined || connection.displayName === displayName) {
        connection.socket.close(code, reason);
      }
    }
  }

  /** Breaks every connection without a close frame (code 1006 on the other side). */
  breakAll(): void {
    for (const socket of this.#sockets) {
      socket.terminate();
    }
  }

  /** Any text, frame or not, to a member or to all. */
  say(text: string | Frame, displayName?: string): void {
    for (const connection of this.#connections) {
      if (displayName === undefined || connection.displayName === displayName) {
        this.#write(connection.socket, text);
      }
    }
  }

  /** Frames of one type, oldest first. */
  seen(type: string, from?: string): readonly Frame[] {
    return this.frames
      .filter((each) => each.frame.type === type && (from === undefined || each.from === from))
      .map(({ frame }) => frame);
  }

  // ---- connections

  #accept(socket: WebSocket): void {
    this.#sockets.add(socket);
    let connection: Connection | undefined;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (connection !== undefined) {
        this.#left(connection);
      }
    });
    socket.on('message', (data) => {
      const text = String(data);
      this.wire.push(text);
      const frame = parsed(text);
      if (frame === undefined) {
        return;
      }
      this.frames.push({ from: connection?.displayName ?? '', frame });
      if (this.isSilent) {
        return;
      }
      if (connection === undefined) {
        connection = frame.type === 'hello' ? this.#hello(socket, frame) : undefined;
        if (frame.type !== 'hello') {
          this.#write(socket, { type: 'error', code: 'no_hello', message: 'must send hello first' });
        }
        return;
      }
      this.#take(connection, frame);
    });
  }

  #hello(socket: WebSocket, hello: Frame): Connection | undefined {
    if (this.closeAtHello !== undefined) {
      socket.close(this.closeAtHello.code, this.closeAtHello.reason);
      return undefined;
    }
    const member = this.#members.get(String(hello.memberId));
    const refusal = this.#refusalOf(hello, member);
    if (refusal !== undefined || member === undefined) {
      const code = refusal ?? 'unauthorized';
      this.refusals.push(code);
      this.#write(socket, { type: 'error', code, message: `hello rejected: ${code}` });
      socket.close(1008, code);
      return undefined;
    }
    const sessionId = String(hello.sessionId);
    for (const other of this.#connections) {
      if (other.member === member && other.sessionId === sessionId) {
        other.socket.close(1000, 'session_replaced');
      }
    }
    const connection: Connection = {
      ...{ socket, member, sessionId, hello, connectedAt: new Date().toISOString() },
      displayName: typeof hello.displayName === 'string' ? hello.displayName : member.displayName,
      ...{ status: 'idle', summary: null, visible: true, profile: {} },
    };
    this.hellos++;
    this.#goneAt.delete(member.pubkey);
    this.#connections.add(connection);
    this.#write(socket, {
      ...{ type: 'hello_ack', presenceId: newId(), memberDisplayName: member.displayName },
      memberProfile: { roleTag: null, groups: [], messageMode: 'push' },
    });
    this.#announce('peer_joined', connection);
    this.#pushWaiting(connection);
    return connection;
  }

  #refusalOf(hello: Frame, member: Member | undefined): string | undefined {
    const { meshId, memberId, pubkey, timestamp, signature } = hello;
    if (typeof timestamp !== 'number' || typeof signature !== 'string' || !/^[0-9a-f]{128}$/.test(signature)) {
      return 'malformed';
    }
    if (Math.abs(Date.now() + this.skewMs - timestamp) > longestSkewMs) {
      return 'timestamp_skew';
    }
    if (member === undefined || member.meshId !== meshId || member.pubkey !== pubkey) {
      return 'unauthorized';
    }
    const signed = Buffer.from(`${meshId}|${memberId}|${pubkey}|${timestamp}`);
    const isRight = verify(null, signed, verificationKey(member.pubkey), Buffer.from(signature, 'hex'));
    return isRight ? undefined : 'bad_signature';
  }

  #left(connection: Connection): void {
    this.#connections.delete(connection);
    const { member } = connection;
    if (![...this.#connections].some((other) => other.member === member)) {
      this.#goneAt.set(member.pubkey, performance.now());
    }
  }

  // ---- frames

  #take(connection: Connection, frame: Frame): void {
    switch (frame.type) {
      case 'send':
        this.#send(connection, frame);
        break;
      case 'list_peers':
        this.#write(connection.socket, {
          type: 'peers_list',
          ...(this.listed ?? { peers: this.#peersOf(connection) }),
          _reqId: frame._reqId,
        });
        break;
      case 'client_ack':
        this.#forget((each) => each.push.messageId === frame.brokerMessageId);
        break;
      case 'set_summary':
        connection.summary = String(frame.summary);
        break;
      case 'set_status':
        connection.status = String(frame.status);
        this.#pushWaiting(connection);
        break;
      case 'set_visible':
        connection.visible = frame.visible === true;
        break;
      case 'set_profile': {
        const { type: _, ...profile } = frame;
        connection.profile = { ...connection.profile, ...profile };
        break;
      }
    }
  }

  #peersOf({ member }: Connection): readonly object[] {
    return [...this.#connections].filter((other) => other.member.meshId === member.meshId).map(peerOf);
  }

  #send(sender: Connection, frame: Frame): void {
    if (this.dropSends > 0) {
      this.dropSends--;
      return;
    }
    const error = this.errors.shift() ?? this.#sendError(sender, frame);
    const messageId = newId();
    if (error === undefined) {
      this.#forward(sender, frame, messageId);
    }
    const close = this.closeAtSend.shift();
    if (close !== undefined) {
      sender.socket.close(close.code, close.reason);
      return;
    }
    if (this.dropAcks > 0) {
      this.dropAcks--;
      return;
    }
    const ack =
      error === undefined
        ? { type: 'ack', id: frame.id, messageId, queued: true }
        : { type: 'ack', id: frame.id, messageId: '', queued: false, error };
    if (this.ackDelayMs > 0) {
      setTimeout(() => this.#write(sender.socket, ack), this.ackDelayMs);
    } else {
      this.#write(sender.socket, ack);
    }
  }

  #sendError(sender: Connection, { targetSpec, nonce, ciphertext }: Frame): string | undefined {
    const target = String(targetSpec);
    const bytes = target.length + String(nonce).length + String(ciphertext).length;
    if (bytes > mostMessageBytes) {
      return `payload too large: ${bytes} bytes > MAX_MESSAGE_BYTES=${mostMessageBytes}`;
    }
    if (/^[*@#]/.test(target)) {
      return undefined;
    }
    const isThere = [...this.#connections].some((other) => other !== sender && other.member.pubkey === target);
    const goneAt = this.#goneAt.get(target);
    const isBack = goneAt !== undefined && performance.now() - goneAt < goneAfterMs;
    return isThere || isBack
      ? undefined
      : 'no connected peer for target (not online, or targetSpec is your own key without another session)';
  }

  #forward(sender: Connection, frame: Frame, messageId: string): void {
    const target = String(frame.targetSpec);
    const { priority, nonce, ciphertext } = frame;
    const common = {
      ...{ type: 'push', messageId, meshId: sender.member.meshId, senderPubkey: sender.member.pubkey },
      ...{ priority, nonce, ciphertext, createdAt: new Date().toISOString() },
    };
    if (!/^[*@#]/.test(target)) {
      const { client_message_id, request_fingerprint } = frame;
      const waiting = {
        push: { ...common, client_message_id, request_fingerprint },
        recipient: target,
        timer: undefined,
      };
      this.#waiting.push(waiting);
      this.#pushOne(waiting);
      return;
    }
    const push = {
      ...common,
      ...{ senderName: sender.displayName, senderMemberPubkey: sender.member.pubkey },
      ...{ senderMemberId: sender.member.memberId },
      ...(target.startsWith('#') ? { topic: target.slice(1) } : {}),
    };
    for (const other of this.#connections) {
      const { groups } = other.hello;
      const isIn = !target.startsWith('@') || (Array.isArray(groups) && groups.includes(target.slice(1)));
      if (other !== sender && other.member.meshId === sender.member.meshId && isIn) {
        this.#push(other, push);
      }
    }
  }

  #pushOne(waiting: Waiting): void {
    clearTimeout(waiting.timer);
    waiting.timer = setTimeout(() => this.#pushOne(waiting), this.#options.pushAgainMs ?? 30_000);
    for (const connection of this.#connections) {
      const isBusy = connection.status !== 'idle' && waiting.push.priority !== 'now';
      if (connection.member.pubkey === waiting.recipient && !isBusy) {
        this.#push(connection, waiting.push);
      }
    }
  }

  #pushWaiting({ member }: Connection): void {
    for (const waiting of this.#waiting.filter(({ recipient }) => recipient === member.pubkey)) {
      this.#pushOne(waiting);
    }
  }

  #forget(isMeant: (waiting: Waiting) => boolean): void {
    const index = this.#waiting.findIndex(isMeant);
    const [known] = index < 0 ? [] : this.#waiting.splice(index, 1);
    clearTimeout(known?.timer);
  }

  #push(connection: Connection, push: Frame): void {
    for (let count = 0; count < this.pushTimes; count++) {
      this.#write(connection.socket, push);
    }
  }

  #announce(event: string, joined: Connection): void {
    const { member, displayName } = joined;
    for (const other of this.#connections) {
      if (other !== joined && other.member.meshId === member.meshId) {
        this.#write(other.socket, {
          ...{ type: 'push', subtype: 'system', event },
          eventData: { name: displayName, pubkey: member.pubkey, groups: [] },
          ...{ messageId: newId(), meshId: member.meshId, senderPubkey: 'system', priority: 'low' },
          ...{ nonce: '', ciphertext: '', createdAt: new Date().toISOString() },
        });
      }
    }
  }

  #write(socket: WebSocket, text: string | Frame): void {
    const line = typeof text === 'string' ? text : JSON.stringify(text);
    this.wire.push(line);
    if (socket.readyState === socket.OPEN) {
      socket.send(line);
    }
  }
}

function peerOf({ member, displayName, sessionId, connectedAt, hello, status, summary, visible, profile }: Connection) {
  return {
    ...{ pubkey: member.pubkey, memberPubkey: member.pubkey, displayName, status, summary, groups: [] },
    ...{ sessionId, connectedAt, cwd: hello.cwd, hostname: hello.hostname, peerType: hello.peerType },
    ...{ channel: hello.channel, visible, profile },
  };
}

function parsed(text: string): Frame | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Frame) : undefined;
  } catch {
    return undefined;
  }
}

function newId(): string {
  return randomBytes(24).toString('base64url');
}
