/** `POST /v1/send` and `POST /v1/outbox/requeue`: the idempotency table (spec mesh.md §6). */
import { randomUUID } from 'node:crypto';
import { failpoint } from '../../../base/failpoints.ts';
import { type Answer, refusal } from '../answer.ts';
import type { KnownKey, Outbox } from '../store/outbox.ts';
import { checkSendRequest, type SendRequest, trimmed } from './request.ts';

export interface SendRoutesOptions {
  readonly outbox: Outbox;
  /** Slug of the mesh that the daemon is attached to. */
  readonly mesh: string;
  /** A row has become pending: the drain worker is woken. */
  readonly onQueued: () => void;
  readonly now?: () => number;
}

export class SendRoutes {
  readonly #options: SendRoutesOptions;
  readonly #now: () => number;
  #isStopping = false;

  constructor(options: SendRoutesOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** From now on nothing is accepted. */
  stop(): void {
    this.#isStopping = true;
  }

  /**
   * @param body parsed JSON
   * @param idempotencyKey the header `Idempotency-Key`
   * @throws what the database throws; nothing has been accepted then
   */
  send(body: unknown, idempotencyKey: string | undefined): Answer {
    if (this.#isStopping) {
      return refusal(503, 'shutting_down');
    }
    const checked = checkSendRequest(body, idempotencyKey);
    if ('refused' in checked) {
      return checked.refused;
    }
    const { request } = checked;
    const known = this.#findOrQueue(request);
    failpoint('mesh.accept');
    if (known === undefined) {
      this.#options.onQueued();
      return queued(request);
    }
    return Buffer.compare(known.fingerprint, request.fingerprint) === 0
      ? answerSame(request, known)
      : conflict(request, known, 'mismatch');
  }

  /** @param body parsed JSON. @throws what the database throws; nothing has changed then */
  requeue(body: unknown): Answer {
    if (this.#isStopping) {
      return refusal(503, 'shutting_down');
    }
    const { id, new_client_message_id, aborted_by } = (body ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof id !== 'string' || id === '') {
      return refusal(400, "missing 'id'");
    }
    const newClientMessageId = trimmed(new_client_message_id) ?? randomUUID();
    const requeue = { id, newClientMessageId, abortedBy: trimmed(aborted_by) ?? 'operator' };
    const { outbox, onQueued } = this.#options;
    const answer = outbox.transaction((): Answer => {
      if (!outbox.canRequeue(id)) {
        return refusal(409, 'row not found, already aborted, or already done');
      }
      if (outbox.find(newClientMessageId) !== undefined) {
        return refusal(409, 'client_message_id in use');
      }
      const newRowId = outbox.requeue(requeue, this.#now());
      return {
        status: 200,
        body: { aborted_row_id: id, new_row_id: newRowId, new_client_message_id: newClientMessageId },
      };
    });
    if (answer.status === 200) {
      onQueued();
    }
    return answer;
  }

  /** What was known of the key; a new key gets its row, which is on disk when this returns. */
  #findOrQueue({ clientMessageId, fingerprint, message, target, priority }: SendRequest): KnownKey | undefined {
    const { outbox, mesh } = this.#options;
    return outbox.transaction(() => {
      const known = outbox.find(clientMessageId);
      if (known === undefined) {
        const payload = Buffer.from(message);
        outbox.insert({ clientMessageId, fingerprint, payload, mesh, target, priority }, this.#now());
        failpoint('mesh.accept.before');
      }
      return known;
    });
  }
}

function queued({ clientMessageId }: SendRequest): Answer {
  return { status: 202, body: { client_message_id: clientMessageId, status: 'queued' } };
}

/** The same request once more. */
function answerSame(request: SendRequest, known: KnownKey): Answer {
  const { clientMessageId } = request;
  switch (known.status) {
    case 'pending':
      return queued(request);
    case 'inflight':
      return { status: 202, body: { client_message_id: clientMessageId, status: 'inflight' } };
    case 'done': {
      const { brokerMessageId } = known;
      return {
        status: 200,
        body: { client_message_id: clientMessageId, broker_message_id: brokerMessageId, duplicate: true },
      };
    }
    case 'dead':
    case 'aborted':
      return conflict(request, known, 'match');
  }
}

function conflict({ fingerprint }: SendRequest, known: KnownKey, how: 'match' | 'mismatch'): Answer {
  const { status, brokerMessageId, lastError } = known;
  return {
    status: 409,
    body: {
      error: 'idempotency_key_reused',
      conflict: `outbox_${status}_fingerprint_${how}`,
      daemon_fingerprint_prefix: fingerprint.toString('hex', 0, 8),
      broker_message_id: brokerMessageId,
      ...(status === 'dead' && how === 'match' ? { reason: lastError } : {}),
    },
  };
}
