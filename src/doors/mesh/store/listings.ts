/** `GET /v1/inbox` and `GET /v1/outbox`: from the query to the answer (spec mesh.md §5). */
import type { Answer } from '../answer.ts';
import { type Inbox, mostListedBytes } from './inbox.ts';
import type { Outbox } from './outbox.ts';
import { outboxStatuses } from './outbox-schema.ts';

/** `before` and `truncated` are ours: without them a thousand long messages could not be read, or not all of them. */
export function listInbox(inbox: Inbox, query: URLSearchParams): Answer {
  const { items, isCut } = inbox.list({
    since: dateOf(query.get('since')),
    before: dateOf(query.get('before')),
    topic: query.get('topic') ?? undefined,
    senderPubkey: query.get('from') ?? undefined,
    limit: limitOf(query.get('limit'), { normal: 100, most: 1000 }),
  });
  return { status: 200, body: isCut ? { items, truncated: truncated(items.length) } : { items } };
}

function truncated(count: number): string {
  return `only the newest ${count}: an answer has at most ${mostListedBytes} bytes; ask for older ones with before=<received_at of the last item>`;
}

export function listOutbox(outbox: Outbox, query: URLSearchParams): Answer {
  const wanted = query.get('status');
  const status = outboxStatuses.find((each) => each === wanted);
  const items = outbox.list(status, limitOf(query.get('limit'), { normal: 50, most: 500 }));
  return { status: 200, body: { items } };
}

/** What is no date is ignored. */
function dateOf(text: string | null): number | undefined {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? undefined : time;
}

/** What is no whole number is ignored; one out of range counts as the nearest that is in it. */
function limitOf(text: string | null, { normal, most }: { readonly normal: number; readonly most: number }): number {
  return text !== null && /^[+-]?\d+$/.test(text) ? Math.min(most, Math.max(1, Number(text))) : normal;
}
