/**
 * Requests to the server (spec agent.md §4): signed, over connections that are kept, through the proxy that the environment
 * names, trusting the authorities that `-install` trusts. Nothing is ever followed, so the token goes to nobody else.
 */
import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Paths } from '../../../platform/paths.ts';
import { messageOf } from '../../base/error-texts.ts';
import { trustedAuthorities } from '../../install/certificates.ts';
import { openConnection, proxyAuthorization } from '../../install/connection.ts';
import { proxyFor } from '../../install/proxy.ts';
import { type InstallTimings, installTimings } from '../../install/timings.ts';
import { signatureHeaders } from './signature.ts';

/** What came back; without a status nothing did. */
export type Answer =
  | {
      readonly status: number;
      /** JSON of the body; `undefined` when it is none. */
      readonly body: unknown;
      /** `Retry-After` in milliseconds, where it counts. */
      readonly retryAfterMs: number | undefined;
      /** By how many milliseconds the server's clock is ahead of ours, as its answer tells; about a second is noise. */
      readonly clockAheadMs: number | undefined;
    }
  | { readonly status: undefined; readonly reason: string };

export interface ServerOptions {
  /** With its path prefix, without a slash at the end. */
  readonly serverUrl: string;
  readonly token: string;
  /** New at each start of the agent. */
  readonly instanceId: string;
  readonly version: string;
  /** Names proxies and authorities. */
  readonly environment: NodeJS.ProcessEnv;
  readonly paths: Paths;
  warn(text: string): void;
  readonly limits?: Partial<ServerLimits>;
}

/** Milliseconds and bytes. */
export interface ServerLimits {
  readonly connectMs: number;
  readonly requestMs: number;
  readonly answerBytes: number;
}

const defaultLimits: ServerLimits = { connectMs: 10_000, requestMs: 30_000, answerBytes: 1024 * 1024 };
const routes = '/api/agent/v1';
/** Sessions send beside each other; more connections than this would only wait for the server. */
const mostConnections = 8;
const longestRetryAfterSeconds = 300;
const noBody = Buffer.alloc(0);

export class AgentServer {
  readonly #options: ServerOptions;
  readonly #limits: ServerLimits;
  readonly #url: URL;
  readonly #agent: Agent;
  readonly #closed = new AbortController();
  #authorities: readonly string[] | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#url = new URL(options.serverUrl);
    this.#agent = new Agent({ keepAlive: true, maxSockets: mostConnections });
    this.#agent.createConnection = (_options, opened) => {
      this.#connect().then(
        (socket) => opened?.(null, socket),
        (error: Error) => opened?.(error, undefined as never),
      );
      return undefined;
    };
  }

  get(route: string): Promise<Answer> {
    return this.#request('GET', route, noBody);
  }

  post(route: string, body: object): Promise<Answer> {
    return this.#request('POST', route, Buffer.from(JSON.stringify(body)));
  }

  /** Ends every request that is under way. */
  close(): void {
    this.#closed.abort(new Error('the agent is ending'));
    this.#agent.destroy();
  }

  async #connect() {
    const { environment, paths, warn } = this.#options;
    const { connectMs } = this.#limits;
    const timings: InstallTimings = { ...installTimings, connectMs, tlsHandshakeMs: connectMs };
    const { socket } = await openConnection(this.#url, proxyFor(this.#url, environment), {
      ...{ paths, timings, signal: this.#closed.signal },
      authorities: () => {
        this.#authorities ??= trustedAuthorities({ environment, paths, warn });
        return this.#authorities;
      },
    });
    return socket;
  }

  async #request(method: 'GET' | 'POST', route: string, body: Buffer): Promise<Answer> {
    for (let isFirst = true; ; isFirst = false) {
      try {
        return await this.#ask(method, route, body);
      } catch (error) {
        // A kept connection may be closed by the server just when it is used again; every request may be repeated.
        if (!(isFirst && error instanceof KeptConnectionClosed)) {
          return { status: undefined, reason: messageOf(error) };
        }
      }
    }
  }

  /** @throws Error when there is no whole answer */
  #ask(method: 'GET' | 'POST', route: string, body: Buffer): Promise<Answer> {
    const { token, instanceId, version, environment } = this.#options;
    const path = `${this.#url.pathname.replace(/\/$/, '')}${routes}${route}`;
    const proxy = this.#url.protocol === 'http:' ? proxyFor(this.#url, environment) : undefined;
    const request = httpRequest({
      method,
      agent: this.#agent,
      host: this.#url.hostname,
      port: this.#url.port,
      path: proxy === undefined ? path : `${this.#url.origin}${path}`,
      headers: {
        Host: this.#url.host,
        Authorization: `Bearer ${token}`,
        'User-Agent': `claudios-agent/${version}`,
        'X-Agent-Instance': instanceId,
        ...signatureHeaders({ method, path, timestamp: Date.now(), body }, token),
        ...(method === 'GET' ? {} : { 'Content-Type': 'application/json', 'Content-Length': body.length }),
        ...(proxy === undefined ? {} : proxyAuthorization(proxy)),
      },
    });
    const answer = this.#answerOf(request);
    request.end(body);
    return answer;
  }

  #answerOf(request: ClientRequest): Promise<Answer> {
    const { requestMs, answerBytes } = this.#limits;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => request.destroy(new Error(`no answer within ${requestMs / 1000} s`)), requestMs);
      const end = (): void => clearTimeout(late);
      const fail = (error: Error): void => {
        end();
        const { code } = error as NodeJS.ErrnoException;
        const isStale = request.reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE');
        reject(isStale ? new KeptConnectionClosed(error.message) : error);
      };
      request.on('error', fail);
      request.on('response', (response) => {
        const parts: Buffer[] = [];
        let length = 0;
        response.on('data', (part: Buffer) => {
          parts.push(part);
          length += part.length;
          if (length > answerBytes) {
            request.destroy(new Error(`the answer is larger than ${answerBytes} bytes`));
          }
        });
        response.on('error', fail);
        response.on('aborted', () => fail(new Error('the connection broke within the answer')));
        response.on('end', () => {
          end();
          resolve(asAnswer(response, Buffer.concat(parts)));
        });
      });
    });
  }
}

class KeptConnectionClosed extends Error {}

function asAnswer(response: IncomingMessage, bytes: Buffer): Answer {
  const status = response.statusCode ?? 0;
  const { date, 'retry-after': retryAfter } = response.headers;
  const clock = date === undefined ? Number.NaN : Date.parse(date);
  return {
    status,
    body: parsed(bytes),
    retryAfterMs: retryAfterOf(status, retryAfter),
    clockAheadMs: Number.isNaN(clock) ? undefined : clock - Date.now(),
  };
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function retryAfterOf(status: number, text: string | undefined): number | undefined {
  if ((status !== 429 && status !== 503) || text === undefined || !/^\d{1,9}$/.test(text.trim())) {
    return undefined;
  }
  return Math.min(Number(text), longestRetryAfterSeconds) * 1000;
}
