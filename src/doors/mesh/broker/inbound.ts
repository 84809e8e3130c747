/** What a broker pushes, made a message of the inbox or an event (spec mesh.md §9.4, §10). Every field may be anything. */
import { randomUUID } from 'node:crypto';
import { fromBase64, type MemberBox } from './box.ts';
import type { IncomingMessage } from './broker.ts';

export type Frame = Readonly<Record<string, unknown>>;

export interface SystemEvent {
  readonly kind: 'peer_join' | 'peer_leave' | 'system';
  readonly data: Readonly<Record<string, unknown>>;
}

export type Push =
  | { readonly is: 'message'; readonly message: IncomingMessage; readonly acknowledgement: object | undefined }
  | { readonly is: 'system'; readonly event: SystemEvent };

const kinds: Readonly<Record<string, SystemEvent['kind']>> = { peer_joined: 'peer_join', peer_left: 'peer_leave' };

/** @returns `undefined` for a push without a sender */
export function pushOf(frame: Frame, mesh: string, box: MemberBox): Push | undefined {
  if (frame.subtype === 'system') {
    return { is: 'system', event: systemEvent(frame) };
  }
  const { senderPubkey, senderName, createdAt } = frame;
  if (typeof senderPubkey !== 'string' || senderPubkey === '') {
    return undefined;
  }
  const brokerMessageId = textOf(frame.messageId);
  const clientMessageId = textOf(frame.client_message_id) ?? brokerMessageId ?? randomUUID();
  const body = bodyOf(frame, senderPubkey, box);
  return {
    is: 'message',
    message: {
      ...{ clientMessageId, brokerMessageId, mesh, topic: textOf(frame.topic), senderPubkey },
      senderName: textOf(senderName) ?? senderPubkey.slice(0, 8),
      body,
      meta: {
        ...(typeof createdAt === 'string' ? { created_at: createdAt } : {}),
        ...(body === null ? { decrypt_failed: true } : {}),
      },
      replyToId: textOf(frame.replyToId),
    },
    acknowledgement: brokerMessageId === null ? undefined : { type: 'client_ack', clientMessageId, brokerMessageId },
  };
}

function systemEvent({ event, eventData }: Frame): SystemEvent {
  const name = textOf(event) ?? 'unknown';
  const data = typeof eventData === 'object' && eventData !== null && !Array.isArray(eventData) ? eventData : {};
  return {
    kind: Object.hasOwn(kinds, name) ? (kinds[name] ?? 'system') : 'system',
    data: { event: name, ...withoutOurs(data) },
  };
}

/** A broker does not say in our name when, where or what happened. */
function withoutOurs(data: object): object {
  return Object.fromEntries(Object.entries(data).filter(([key]) => !['ts', 'mesh', 'event'].includes(key)));
}

/** Sealed for us, or for everybody; null when it is neither. */
function bodyOf({ nonce, ciphertext }: Frame, sender: string, box: MemberBox): string | null {
  const bytes = typeof ciphertext === 'string' ? fromBase64(ciphertext) : undefined;
  if (bytes === undefined) {
    return null;
  }
  const nonceBytes = typeof nonce === 'string' ? fromBase64(nonce) : undefined;
  const opened = nonceBytes === undefined ? undefined : box.open(nonceBytes, bytes, sender);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(opened ?? bytes);
  } catch {
    return null;
  }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}
