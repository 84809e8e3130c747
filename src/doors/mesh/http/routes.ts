/** The table of routes (spec mesh.md §5): what is asked, how large a body may be, and who answers. */
import type { IncomingMessage } from 'node:http';
import type { Answer } from '../answer.ts';

export interface RouteRequest {
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** `undefined` when there is none. */
  readonly body: unknown;
}

export interface Route {
  /** Of a body; without it none is read. */
  readonly limitBytes?: number;
  answer(request: RouteRequest): Answer | Promise<Answer>;
}

/** `GET /v1/version` and so on; `GET /v1/events` is the server's own. */
export type Routes = Readonly<Record<string, Route>>;
