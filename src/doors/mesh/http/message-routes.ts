/** `/v1/send`, `/v1/inbox`, `/v1/outbox` and `/v1/outbox/requeue` (spec mesh.md §5, §6). */
import type { SendRoutes } from '../send/send-routes.ts';
import { listInbox, listOutbox } from '../store/listings.ts';
import type { Stores } from '../store/open-stores.ts';
import type { Routes } from './routes.ts';

export const sendPath = '/v1/send';

const sendBytes = 256 * 1024;
const requeueBytes = 4 * 1024;

export function messageRoutes({ outbox, inbox }: Stores, sending: SendRoutes): Routes {
  return {
    [`POST ${sendPath}`]: {
      limitBytes: sendBytes,
      answer: ({ body, headers }) => sending.send(body, textOf(headers['idempotency-key'])),
    },
    'GET /v1/inbox': { answer: ({ query }) => listInbox(inbox, query) },
    'GET /v1/outbox': { answer: ({ query }) => listOutbox(outbox, query) },
    'POST /v1/outbox/requeue': { limitBytes: requeueBytes, answer: ({ body }) => sending.requeue(body) },
  };
}

function textOf(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.[0];
}
