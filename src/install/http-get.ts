/** GET with redirects, up to the headers of the answer (spec install.md §4). */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { goQuote } from '../../platform/go-quote.ts';
import {
  basicCredentials,
  type ConnectionOptions,
  closedOr,
  openConnection,
  proxyAuthorization,
} from './connection.ts';
import { InstallFailure } from './failure.ts';
import type { Ends } from './network-errors.ts';
import { proxyFor } from './proxy.ts';

export interface GetOptions extends ConnectionOptions {
  /** The environment that names the proxies. */
  readonly environment: NodeJS.ProcessEnv;
}

export interface Answer {
  readonly status: number;
  /** Content-Length; `undefined` when the server does not send it. */
  readonly length: number | undefined;
  /** The body has neither a length nor chunks, so it ends with the connection. `brokenBy` tells a reset from the end. */
  readonly endsWithConnection: boolean;
  /** Not read yet. The caller destroys it. */
  readonly body: IncomingMessage;
  readonly ends: Ends;
  /** Why the connection broke, which `body` itself does not report; `undefined` when the peer closed it. */
  brokenBy(): Error | undefined;
}

const mostRedirects = 10;
const redirects: readonly number[] = [301, 302, 303, 307, 308];

/**
 * The first answer that is no redirect, whatever its status.
 * @throws InstallFailure `Get "<url>": <reason>`
 */
export async function get(address: string, options: GetOptions): Promise<Answer> {
  let shown = address;
  try {
    let url = parse(address);
    shown = withoutPassword(address, url);
    for (let followed = 0; ; followed++) {
      const answer = await ask(url, options);
      const { location } = answer.body.headers;
      if (!redirects.includes(answer.status) || location === undefined) {
        return answer;
      }
      answer.body.destroy();
      const next = URL.canParse(location, url.href) ? new URL(location, url.href).href : location;
      if (followed === mostRedirects) {
        throw new InstallFailure(`stopped after ${mostRedirects} redirects`);
      }
      shown = next;
      url = parse(next);
      shown = withoutPassword(next, url);
    }
  } catch (error) {
    throw new InstallFailure(`Get ${goQuote(shown)}: ${(error as Error).message}`, { cause: error });
  }
}

function parse(address: string): URL {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(address)?.[1]?.toLowerCase() ?? '';
  if (scheme !== 'http' && scheme !== 'https') {
    throw new InstallFailure(`unsupported protocol scheme ${goQuote(scheme)}`);
  }
  if (!URL.canParse(address)) {
    throw new InstallFailure('invalid URL');
  }
  return new URL(address);
}

/** The address as it was given, unless that would show a password. */
function withoutPassword(address: string, url: URL): string {
  if (url.password === '') {
    return address;
  }
  const shown = new URL(url.href);
  shown.password = '***';
  return shown.href;
}

async function ask(url: URL, options: GetOptions): Promise<Answer> {
  const proxy = proxyFor(url, options.environment);
  const { socket, ends } = await openConnection(url, proxy, options);
  const throughProxy = proxy !== undefined && url.protocol === 'http:';
  const credentials = basicCredentials(url);
  const request = httpRequest({
    path: throughProxy ? `http://${url.host}${url.pathname}${url.search}` : `${url.pathname}${url.search}`,
    headers: {
      Host: url.host,
      'User-Agent': 'holdfast',
      ...(credentials === undefined ? {} : { Authorization: credentials }),
      ...(throughProxy ? proxyAuthorization(proxy) : {}),
    },
    createConnection: () => socket,
  });
  let broken: Error | undefined;
  socket.on('error', (error) => {
    broken ??= error;
  });
  request.end();
  const body = await headers();
  const length = lengthOf(body);
  const isChunked = body.headers['transfer-encoding'] !== undefined;
  return {
    status: body.statusCode ?? 0,
    length,
    endsWithConnection: length === undefined && !isChunked,
    body,
    ends,
    brokenBy: () => broken,
  };

  function headers(): Promise<IncomingMessage> {
    const { signal, timings, paths } = options;
    return new Promise((resolve, reject) => {
      const fail = (failure: InstallFailure): void => {
        done();
        socket.destroy();
        reject(failure);
      };
      const onAbort = (): void => fail(signal.reason);
      const timer = setTimeout(
        () => fail(new InstallFailure('net/http: timeout awaiting response headers')),
        timings.responseHeadersMs,
      );
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
      };
      signal.addEventListener('abort', onAbort);
      // This listener stays for the life of the request, because faults in the body are reported here too.
      request.on('error', (error) => {
        broken ??= error;
        fail(new InstallFailure(closedOr(error, ends, paths)));
      });
      request.on('response', (response) => {
        done();
        resolve(response);
      });
    });
  }
}

function lengthOf({ headers }: IncomingMessage): number | undefined {
  const text = headers['content-length'];
  return text === undefined ? undefined : Number(text);
}
