/**
 * Who is answered at all (spec mesh.md §4): before any route, in this order, on the socket and on the TCP port alike. A web page
 * reaches a port of this machine too, so whatever looks like a browser's request is refused (threat 12 of docs/security.md).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** `owner`: the socket, or the pipe of Windows, which nobody but the user can reach. */
export type Way = 'owner' | 'tcp';

export interface GuardOptions {
  readonly token: string;
  /** `/v1/health` needs no token on the TCP port. */
  readonly publicHealth: boolean;
  warn(msg: 'ipc_token_in_query_string_rejected' | 'ipc_bearer_mismatch'): void;
}

export interface Refusal {
  readonly status: 400 | 401 | 403;
  readonly error: string;
}

const ownHosts: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1', '[::1]']);

/** @returns `undefined` for a request that may go on */
export function refusalOf(request: IncomingMessage, way: Way, options: GuardOptions): Refusal | undefined {
  const [path = '', query] = split(request.url ?? '');
  if (new URLSearchParams(query).has('token')) {
    options.warn('ipc_token_in_query_string_rejected');
    return { status: 400, error: 'token must be in Authorization header, not query string' };
  }
  // All of them: of several headers another reader may heed another one.
  if (request.headersDistinct.host?.some((host) => !isOwnHost(host))) {
    return { status: 403, error: 'forbidden host' };
  }
  if (request.headers.origin !== undefined) {
    return { status: 403, error: 'forbidden origin' };
  }
  if (way === 'owner' || (options.publicHealth && path === '/v1/health')) {
    return undefined;
  }
  const [, shown] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
  if (shown === undefined) {
    return { status: 401, error: 'missing bearer token' };
  }
  if (!isSame(shown, options.token)) {
    options.warn('ipc_bearer_mismatch');
    return { status: 401, error: 'invalid bearer token' };
  }
  return undefined;
}

/** The target of a request in its two parts; no `#` comes over HTTP. */
export function split(target: string): readonly [path: string, query: string] {
  const at = target.indexOf('?');
  return at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at + 1)];
}

function isOwnHost(header: string): boolean {
  const host = header.trim().toLowerCase();
  return ownHosts.has(host) || ownHosts.has(host.replace(/:\d*$/, ''));
}

/** In constant time, whatever the lengths. */
function isSame(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
