/**
 * The connection to a broker, kept up by itself (spec mesh.md §9.1): hello, `hello_ack`, then messages in both directions;
 * after a close a pause and the next attempt, until `close`, a ban or a kick.
 */
import type { Paths } from '../../../../platform/paths.ts';
import { messageOf } from '../../../base/error-texts.ts';
import { printable } from '../../../base/printable.ts';
import { isPermanentError } from '../send/permanent-errors.ts';
import type { MeshTimings } from '../timings.ts';
import { InvalidMemberKey, MemberBox, plain, type Sealed } from './box.ts';
import type {
  Broker,
  BrokerReceiver,
  BrokerState,
  OutgoingMessage,
  Peer,
  ProfileChange,
  SendResult,
} from './broker.ts';
import { helloFrame, type Presence } from './hello.ts';
import { type Frame, pushOf } from './inbound.ts';
import { faultOf, type Member } from './member.ts';
import { mostPeers, PeerLists } from './peer-lists.ts';
import { profileFrames } from './profile-frames.ts';
import { BrokerSocket } from './socket.ts';
import { type Route, targetOf, UnknownPeer } from './targets.ts';
import { WaitingAcks } from './waiting-acks.ts';

/** Lines of the door's log; texts from outside are made printable here already. */
export interface BrokerLog {
  warn(msg: string, fields: Readonly<Record<string, unknown>>): void;
}

export interface BrokerOptions {
  readonly member: Member;
  readonly presence: Presence;
  readonly receiver: BrokerReceiver;
  readonly log: BrokerLog;
  readonly timings: MeshTimings;
  /** Names proxies and authorities of `wss:` brokers. */
  readonly environment: NodeJS.ProcessEnv;
  readonly paths: Paths;
}

/** Longest frame that a broker takes; a longer one would cost the connection (close code 1009). */
export const mostOutgoingBytes = 65_536;
/** After these codes nobody knocks again until the process is started anew. */
const finalCodes: readonly number[] = [4001, 4002];
const longestShown = 256;

/**
 * Begins at once and never fails: a broker that cannot be reached is tried again. An entry of config.json that no broker
 * could accept is told in the log, and leaves the broker `closed`.
 */
export async function connectBroker(options: BrokerOptions): Promise<Broker> {
  const fault = faultOf(options.member);
  if (fault !== undefined) {
    options.log.warn('broker_config_invalid', { mesh: options.member.slug, err: fault });
  }
  const box = fault === undefined ? await MemberBox.of(options.member.secretKey) : undefined;
  return new BrokerConnection(options, box);
}

class BrokerConnection implements Broker {
  readonly mesh: string;
  readonly #options: BrokerOptions;
  readonly #acks: WaitingAcks;
  readonly #peers: PeerLists;
  readonly #box: MemberBox | undefined;
  #state: BrokerState = 'connecting';
  #socket: BrokerSocket | undefined;
  #helloLate: NodeJS.Timeout | undefined;
  #next: NodeJS.Timeout | undefined;
  #failures = 0;
  /** From an `error` frame; brokers say it before the close. */
  #errorCode: string | undefined;
  #isEnding = false;
  readonly #waitingForOpen = new Set<() => void>();
  /** After `close` alone. */
  readonly #socketGone = Promise.withResolvers<void>();
  /** Why the inbox did not take the last message. */
  #inboxFault = '';

  constructor(options: BrokerOptions, box: MemberBox | undefined) {
    this.#options = options;
    this.#box = box;
    this.mesh = options.member.slug;
    this.#acks = new WaitingAcks(options.timings.ackMs);
    this.#peers = new PeerLists({
      limitMs: options.timings.peersMs,
      keptMs: options.timings.peersKeptMs,
      write: (frame) => this.#state === 'open' && this.#write(frame),
      onTooMany: (count) => this.#warn('broker_peers_cut', { count, kept: mostPeers }),
    });
    if (box === undefined) {
      this.#enter('closed');
    } else {
      options.receiver.onState('connecting');
      this.#dial();
    }
  }

  get state(): BrokerState {
    return this.#state;
  }

  whenOpen(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#state === 'open' || this.#state === 'closed' || signal.aborted) {
          signal.removeEventListener('abort', look);
          this.#waitingForOpen.delete(look);
          resolve(this.#state === 'open' && !signal.aborted);
        }
      };
      this.#waitingForOpen.add(look);
      signal.addEventListener('abort', look);
      look();
    });
  }

  async send(message: OutgoingMessage): Promise<SendResult> {
    if (base64Length(message.payload.length) > mostOutgoingBytes) {
      return tooLarge;
    }
    try {
      const route = await this.#routeOf(message.target);
      return await this.#sendTo(route, message);
    } catch (error) {
      // A key that is none will never be one; a peer that is unknown may come.
      if (error instanceof UnknownPeer || error instanceof InvalidMemberKey) {
        return failed(error.message, error instanceof InvalidMemberKey);
      }
      throw error;
    }
  }

  async peers(): Promise<readonly Peer[]> {
    return (await this.#peers.ask()) ?? [];
  }

  changeProfile(change: ProfileChange): void {
    if (this.#state === 'open') {
      for (const frame of profileFrames(change)) {
        this.#write(frame);
      }
    }
  }

  async close(): Promise<void> {
    this.#isEnding = true;
    clearTimeout(this.#next);
    this.#acks.failAll('daemon_shutdown');
    this.#peers.fail();
    if (this.#socket !== undefined) {
      this.#socket.close(this.#options.timings.brokerCloseMs);
      await this.#socketGone.promise;
    }
    this.#enter('closed');
  }

  // ---- connection

  #dial(): void {
    const { member, environment, paths, timings } = this.#options;
    this.#errorCode = undefined;
    const socket: BrokerSocket = new BrokerSocket(
      {
        ...{ url: member.brokerUrl, environment, paths },
        ...{ connectMs: timings.connectMs, silenceMs: timings.silenceMs },
        warn: (err) => this.#warn('broker_authorities', { err }),
      },
      {
        onOpen: () => this.#sayHello(),
        onFrame: (frame) => this.#take(frame),
        onError: (err) => this.#warn('broker_ws_error', { err }),
        onClose: (code, reason) => this.#closed(code, reason),
      },
    );
    this.#socket = socket;
  }

  #sayHello(): void {
    const { member, presence, timings } = this.#options;
    this.#write(helloFrame(member, presence, Date.now()));
    this.#helloLate = setTimeout(() => {
      this.#warn('broker_hello_ack_timeout', { wait_ms: timings.helloAckMs });
      this.#socket?.terminate();
    }, timings.helloAckMs);
  }

  #closed(code: number, closeReason: string): void {
    clearTimeout(this.#helloLate);
    this.#socket = undefined;
    this.#acks.failAll(this.#isEnding ? 'daemon_shutdown' : `broker_disconnected_${code}`);
    this.#peers.fail();
    if (this.#isEnding) {
      this.#socketGone.resolve();
      return;
    }
    const reason = closeReason === '' ? (this.#errorCode ?? '') : closeReason;
    if (finalCodes.includes(code)) {
      this.#warn('broker_closed_for_good', { code, reason });
      this.#enter('closed');
      return;
    }
    const { reconnectMs, reconnectMaxMs } = this.#options.timings;
    const wait = Math.min(reconnectMaxMs, reconnectMs * 2 ** Math.min(this.#failures++, 30));
    this.#enter('reconnecting');
    this.#warn('broker_reconnect_scheduled', { wait_ms: wait, code, reason });
    this.#next = setTimeout(() => this.#dial(), wait);
  }

  #enter(state: BrokerState): void {
    if (this.#state === state) {
      return;
    }
    this.#state = state;
    this.#options.receiver.onState(state);
    for (const look of [...this.#waitingForOpen]) {
      look();
    }
  }

  // ---- frames that come

  #take(frame: Frame): void {
    if (frame.type === 'hello_ack' && this.#state !== 'open') {
      clearTimeout(this.#helloLate);
      this.#failures = 0;
      this.#enter('open');
      return;
    }
    if (frame.type === 'error' && typeof frame.code === 'string') {
      this.#errorCode = frame.code;
    }
    if (this.#state !== 'open') {
      return;
    }
    switch (frame.type) {
      case 'ack':
        this.#acks.take(frame);
        break;
      case 'peers_list':
        this.#peers.take(frame);
        break;
      case 'push':
        this.#takePush(frame);
        break;
    }
  }

  #takePush(frame: Frame): void {
    const push = this.#box === undefined ? undefined : pushOf(frame, this.mesh, this.#box);
    if (push === undefined || this.#isEnding) {
      return;
    }
    if (push.is === 'system') {
      this.#peers.changed();
      this.#options.receiver.onSystem(push.event.kind, push.event.data);
      return;
    }
    try {
      this.#options.receiver.onMessage(push.message);
      this.#inboxFault = '';
    } catch (error) {
      // The broker pushes again. A full disk says the same for every message, and is told once.
      const fault = messageOf(error);
      if (fault !== this.#inboxFault) {
        this.#inboxFault = fault;
        this.#warn('inbox_insert_failed', { err: fault });
      }
      return;
    }
    if (push.acknowledgement !== undefined) {
      this.#write(push.acknowledgement);
    }
  }

  // ---- frames that go

  /** @throws UnknownPeer */
  async #routeOf(to: string): Promise<Route> {
    const target = targetOf(to);
    if (!('find' in target)) {
      return target;
    }
    const own = this.#options.member.pubkey;
    const kept = this.#peers.kept;
    if (kept !== undefined) {
      try {
        return target.find(kept, own);
      } catch {
        // Somebody may have come since, without our having been told.
      }
    }
    const peers = await this.#peers.ask();
    if (peers === undefined) {
      throw new UnknownPeer('the broker did not say who is connected');
    }
    return target.find(peers, own);
  }

  /** @throws InvalidMemberKey */
  async #sendTo({ targetSpec, key }: Route, message: OutgoingMessage): Promise<SendResult> {
    const { clientMessageId, requestFingerprint, priority, payload } = message;
    const { nonce, ciphertext } = this.#sealed(payload, key);
    const text = JSON.stringify({
      ...{ type: 'send', id: clientMessageId, client_message_id: clientMessageId },
      ...{ request_fingerprint: requestFingerprint, targetSpec, priority, nonce, ciphertext },
    });
    if (Buffer.byteLength(text) > mostOutgoingBytes) {
      return tooLarge;
    }
    if (this.#isEnding) {
      return failed('daemon_shutdown', false);
    }
    if (this.#state !== 'open') {
      return failed('broker_not_connected', false);
    }
    const ack = this.#acks.add(clientMessageId);
    if (ack === undefined) {
      return failed('another send of this key waits for its ack', false);
    }
    // Where the socket is closing nothing is written, and its end settles what waits.
    this.#write(text);
    const result = await ack;
    if (result.ok) {
      return { ok: true, brokerMessageId: result.brokerMessageId, nonce, ciphertext };
    }
    return failed(result.error, result.isBrokers && isPermanentError(result.error));
  }

  #sealed(payload: Uint8Array, key: string | undefined): Sealed {
    return key === undefined || this.#box === undefined ? plain(payload) : this.#box.seal(payload, key);
  }

  #write(frame: object | string): boolean {
    return this.#socket?.write(typeof frame === 'string' ? frame : JSON.stringify(frame)) ?? false;
  }

  #warn(msg: string, fields: Readonly<Record<string, unknown>>): void {
    const safe = Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'string' ? printable(value, longestShown) : value,
    ]);
    this.#options.log.warn(msg, Object.fromEntries(safe));
  }
}

const tooLarge: SendResult = { ok: false, error: 'payload_too_large', permanent: true };

function failed(error: string, permanent: boolean): SendResult {
  return { ok: false, error, permanent };
}

function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4;
}
