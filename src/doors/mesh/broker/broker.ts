/**
 * What the mesh door knows of a message broker (spec mesh.md §9): one connection, kept up by itself. The drain worker sends
 * through it, the routes ask it, and what it receives goes to the inbox and to the event streams.
 */

/** `closed`: after a ban (4002) or a kick (4001), until the process is started again; also after `close`. */
export type BrokerState = 'connecting' | 'open' | 'reconnecting' | 'closed';

/** One message of the outbox, as it stands in its row. */
export interface OutgoingMessage {
  /** The idempotency key: `id` and `client_message_id` of the frame. */
  readonly clientMessageId: string;
  /** 64 hex digits. */
  readonly requestFingerprint: string;
  /** As the sender wrote it (`to`, trimmed): a key, a prefix of one, a display name, `*`, `@group` or `#topic id`. */
  readonly target: string;
  readonly priority: 'now' | 'next' | 'low';
  readonly payload: Uint8Array;
}

/** How a broker answered one `send`. `permanent` errors are not tried again. */
export type SendResult =
  | { readonly ok: true; readonly brokerMessageId: string; readonly nonce: string; readonly ciphertext: string }
  | { readonly ok: false; readonly error: string; readonly permanent: boolean };

/** A peer as the broker lists it, passed through unchanged. */
export type Peer = Readonly<Record<string, unknown>>;

/** The keys of `POST /v1/profile` whose types have been checked. */
export interface ProfileChange {
  readonly summary?: string;
  readonly status?: 'idle' | 'working' | 'dnd';
  readonly visible?: boolean;
  readonly avatar?: string;
  readonly title?: string;
  readonly bio?: string;
  readonly capabilities?: readonly string[];
}

/** A message for the inbox: what a push becomes (§10). Keys are those of the inbox's columns in camel case. */
export interface IncomingMessage {
  readonly clientMessageId: string;
  readonly brokerMessageId: string | null;
  readonly mesh: string;
  readonly topic: string | null;
  readonly senderPubkey: string;
  readonly senderName: string;
  /** Null when it could not be made readable. */
  readonly body: string | null;
  readonly meta: Readonly<Record<string, unknown>>;
  readonly replyToId: string | null;
}

export interface Broker {
  readonly mesh: string;
  readonly state: BrokerState;
  /** Waits for the connection to be open; false when `signal` ends the wait or the broker is closed for good. */
  whenOpen(signal: AbortSignal): Promise<boolean>;
  /** Resolves a name, encrypts, sends, waits for the ack (15 s). Never rejects. */
  send(message: OutgoingMessage): Promise<SendResult>;
  /** `[]` when not connected or silent for 5 s. */
  peers(): Promise<readonly Peer[]>;
  /** Fire and forget; nothing is queued when offline. */
  changeProfile(change: ProfileChange): void;
  close(): Promise<void>;
}

/** What a broker tells its owner. */
export interface BrokerReceiver {
  /** Each change of state, for the log and the event streams. */
  onState(state: BrokerState): void;
  /**
   * Stores the message; true when it is new. The broker's `client_ack` is sent after this has returned, for new and known
   * messages alike; when it throws, no ack is sent and the broker pushes again.
   */
  onMessage(message: IncomingMessage): boolean;
  /** A system push: `kind` is the event's kind, `data` what stands in it beside `ts` and `mesh`. */
  onSystem(kind: 'peer_join' | 'peer_leave' | 'system', data: Readonly<Record<string, unknown>>): void;
}
