/** The body of `POST /v1/send`, from unknown JSON to a checked request (spec mesh.md §6). */
import { randomUUID } from 'node:crypto';
import { type Answer, refusal } from '../answer.ts';
import type { OutgoingMessage } from '../broker/broker.ts';
import { requestFingerprint } from './fingerprint.ts';

export type Priority = OutgoingMessage['priority'];

export interface SendRequest {
  readonly clientMessageId: string;
  /** `to`, trimmed: what the broker connection resolves when the message is sent. */
  readonly target: string;
  readonly priority: Priority;
  readonly message: string;
  /** 32 bytes. */
  readonly fingerprint: Buffer;
}

export type CheckedRequest = { readonly request: SendRequest } | { readonly refused: Answer };

/**
 * @param body parsed JSON, of whatever shape
 * @param idempotencyKey the header of that name, used when the body names no key
 */
export function checkSendRequest(body: unknown, idempotencyKey: string | undefined): CheckedRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return refuse('expected JSON object');
  }
  const { to, message, priority = 'next', meta, reply_to_id, client_message_id } = body as Record<string, unknown>;
  const target = trimmed(to);
  if (target === undefined) {
    return refuse("missing 'to'");
  }
  if (typeof message !== 'string' || message === '') {
    return refuse("missing 'message'");
  }
  if (priority !== 'now' && priority !== 'next' && priority !== 'low') {
    return refuse("priority must be 'now' | 'next' | 'low'");
  }
  if (meta !== undefined && (typeof meta !== 'object' || meta === null || Array.isArray(meta))) {
    return refuse("'meta' must be an object");
  }
  const replyToId = typeof reply_to_id === 'string' ? reply_to_id : undefined;
  const fingerprint = requestFingerprint({ ...destination(target), replyToId, priority, meta, message });
  const clientMessageId = trimmed(client_message_id) ?? trimmed(idempotencyKey) ?? randomUUID();
  return { request: { clientMessageId, target, priority, message, fingerprint } };
}

function destination(target: string): { readonly kind: 'dm' | 'topic'; readonly ref: string } {
  if (target === '*') {
    return { kind: 'topic', ref: '*' };
  }
  return target.startsWith('@') ? { kind: 'topic', ref: target.slice(1) } : { kind: 'dm', ref: target };
}

/** `undefined` for what is no text, or only spaces. */
export function trimmed(value: unknown): string | undefined {
  const text = typeof value === 'string' ? value.trim() : '';
  return text === '' ? undefined : text;
}

function refuse(error: string): CheckedRequest {
  return { refused: refusal(400, error) };
}
