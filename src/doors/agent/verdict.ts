/** What an answer of the server means for what was sent (spec agent.md §4). */
import type { Answer } from './server.ts';

/** What is known of a refusal of the token. */
export interface RefusedToken {
  readonly status: number;
  /** The server calls the time of our signature too old or too new. */
  readonly isStale: boolean;
  readonly clockAheadMs: number | undefined;
}

export type Verdict =
  | { readonly is: 'done'; readonly body: unknown }
  /** Our request is wrong: it is dropped and never repeated. */
  | { readonly is: 'wrong'; readonly status: number; readonly body: unknown }
  /** The token is not accepted at the moment. */
  | { readonly is: 'refused'; readonly why: RefusedToken }
  | { readonly is: 'deleted' | 'unknown' }
  | { readonly is: 'conflict'; readonly body: unknown }
  | { readonly is: 'tooLarge' }
  | { readonly is: 'again'; readonly reason: string; readonly retryAfterMs: number | undefined };

export function verdictOf(answer: Answer): Verdict {
  if (answer.status === undefined) {
    return { is: 'again', reason: answer.reason, retryAfterMs: undefined };
  }
  const { status, body, retryAfterMs } = answer;
  if (status >= 200 && status < 300) {
    return { is: 'done', body };
  }
  switch (status) {
    case 400:
    case 422:
      return { is: 'wrong', status, body };
    case 401:
    case 403:
      return {
        is: 'refused',
        why: { status, isStale: fieldOf(body, 'error') === 'stale_signature', clockAheadMs: answer.clockAheadMs },
      };
    case 404:
      return { is: fieldOf(body, 'error') === 'session_deleted' ? 'deleted' : 'unknown' };
    case 409:
      return { is: 'conflict', body };
    case 413:
      return { is: 'tooLarge' };
    default:
      return { is: 'again', reason: `status ${status}`, retryAfterMs };
  }
}

/** A member of a JSON object; `undefined` of anything else. */
export function fieldOf(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined;
}
