/**
 * Both sides prove that they know the cookie of the keeper's record, and neither shows it (threat 16 of docs/security.md): each
 * answers the other's random number with a keyed hash. Nothing else is read from a channel before that.
 */
import type { Channel } from './channel.ts';
import { type Message, type MessageLimits, usualLimits } from './message-reader.ts';
import { channelVersions, commonVersion, type MessageName, type VersionRange } from './messages.ts';

// An import would load the web's cryptography with it (docs/performance.md "Memory").
const { createHmac, randomBytes, timingSafeEqual } = process.getBuiltinModule('node:crypto');

/** Bytes of the cookie and of each random number. */
export const cookieBytes = 32;

/** Nobody gets more memory than this before he has proved who he is. */
const greetingLimits: MessageLimits = { text: 16 * 1024, data: 0 };

export interface Release {
  readonly version: string;
  readonly channel: VersionRange;
}

export interface Agreed {
  /** Release at the other end. */
  readonly peer: Release;
  /** Version of the channel that is spoken. */
  readonly channel: number;
}

/** Why the two do not go together. */
export class HandshakeError extends Error {
  override readonly name = 'HandshakeError';
  /** `versions`: they know each other and have no version of the channel in common; `left`: it has said nothing. */
  readonly kind: 'cookie' | 'versions' | 'channel' | 'left';
  /** Which release it is, where that is the reason. */
  readonly peer: Release | undefined;

  constructor(kind: HandshakeError['kind'], message: string, peer?: Release) {
    super(message);
    this.kind = kind;
    this.peer = peer;
  }
}

function proofOf(side: 'keeper' | 'daemon', cookie: Buffer, daemonNonce: string, keeperNonce: string): Buffer {
  return createHmac('sha256', cookie).update(`${side}\n${daemonNonce}\n${keeperNonce}`).digest();
}

function isProof(sent: unknown, expected: Buffer): boolean {
  const bytes = typeof sent === 'string' ? Buffer.from(sent, 'hex') : Buffer.alloc(0);
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
}

function freshNonce(): string {
  return randomBytes(cookieBytes).toString('hex');
}

/** The daemon's side. @throws HandshakeError */
export async function greetKeeper(channel: Channel, cookie: Buffer, own: Release, timeoutMs: number): Promise<Agreed> {
  const conversation = new Conversation(channel, timeoutMs);
  const nonce = freshNonce();
  channel.send('hello', 0, { ...own, nonce });
  const answer = await conversation.next(['challenge', 'refused']);
  const peer = releaseOf(answer.value);
  const { nonce: keeperNonce, proof, speak } = answer.value as { nonce?: unknown; proof?: unknown; speak?: unknown };
  if (typeof keeperNonce !== 'string' || !isProof(proof, proofOf('keeper', cookie, nonce, keeperNonce))) {
    throw new HandshakeError('cookie', 'it does not know the cookie of the record');
  }
  if (answer.name === 'refused') {
    throw new HandshakeError('versions', `it speaks channel ${peer.channel.join('..')}`, peer);
  }
  channel.send('proof', 0, { proof: proofOf('daemon', cookie, nonce, keeperNonce).toString('hex') });
  await conversation.next(['welcome']);
  conversation.end();
  return { peer, channel: Number(speak) };
}

/** The keeper's side. @throws HandshakeError */
export async function greetDaemon(channel: Channel, cookie: Buffer, own: Release, timeoutMs: number): Promise<Agreed> {
  const conversation = new Conversation(channel, timeoutMs);
  const hello = await conversation.next(['hello'], 'left');
  const peer = releaseOf(hello.value);
  const { nonce } = hello.value as { nonce?: unknown };
  if (typeof nonce !== 'string') {
    throw new HandshakeError('channel', 'its greeting has no random number');
  }
  const keeperNonce = freshNonce();
  const speak = commonVersion(own.channel, peer.channel);
  channel.send(speak === undefined ? 'refused' : 'challenge', 0, {
    ...own,
    nonce: keeperNonce,
    proof: proofOf('keeper', cookie, nonce, keeperNonce).toString('hex'),
    speak,
  });
  if (speak === undefined) {
    throw new HandshakeError('versions', `it speaks channel ${peer.channel.join('..')}`, peer);
  }
  const answer = await conversation.next(['proof']);
  const { proof } = (answer.value ?? {}) as { proof?: unknown };
  if (!isProof(proof, proofOf('daemon', cookie, nonce, keeperNonce))) {
    throw new HandshakeError('cookie', 'it does not know the cookie');
  }
  conversation.end();
  channel.send('welcome', 0);
  return { peer, channel: speak };
}

/** What this program is at either end. */
export function ownRelease(version: string): Release {
  return { version, channel: channelVersions };
}

function releaseOf(value: unknown): Release {
  const { version, channel } = (value ?? {}) as { version?: unknown; channel?: unknown };
  const isRange = Array.isArray(channel) && channel.length === 2 && channel.every(Number.isSafeInteger);
  if (typeof version !== 'string' || !isRange) {
    throw new HandshakeError('channel', 'its greeting does not say which release it is');
  }
  return { version, channel: channel as unknown as VersionRange };
}

/** One message after the other, each of a kind that is expected, all of them within a time. */
class Conversation {
  readonly #channel: Channel;
  readonly #deadline: number;

  constructor(channel: Channel, timeoutMs: number) {
    this.#channel = channel;
    this.#deadline = performance.now() + timeoutMs;
    channel.limit(greetingLimits);
  }

  /** Each has proved who it is. */
  end(): void {
    this.#channel.limit(usualLimits);
  }

  /** @param atEnd what it means that the channel ends instead */
  next(
    expected: readonly MessageName[],
    atEnd: HandshakeError['kind'] = 'channel',
  ): Promise<Pick<Message, 'name' | 'value'>> {
    return new Promise((resolve, reject) => {
      let over = false;
      const settle = (work: () => void): void => {
        if (!over) {
          over = true;
          clearTimeout(timer);
          work();
        }
      };
      const fail = (reason: string) => settle(() => reject(new HandshakeError('channel', reason)));
      const timer = setTimeout(() => fail('it does not answer'), Math.max(0, this.#deadline - performance.now()));
      this.#channel.handle({
        onMessage: ({ name, value }) => {
          // What follows is for whoever handles the channel next.
          this.#channel.holdUntilNextTurn();
          if (expected.includes(name)) {
            settle(() => resolve({ name, value }));
          } else {
            fail(`it says "${name}" where "${expected.join('" or "')}" is due`);
          }
        },
        onEnd: (reason) => settle(() => reject(new HandshakeError(atEnd, reason))),
      });
    });
  }
}
