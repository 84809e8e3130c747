/** A connection to a server, through a proxy where the environment names one, each step with its limit (spec install.md §4). */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Paths } from '../../platform/paths.ts';
import { InstallFailure } from './failure.ts';
import { dialReason, type Ends, endsOf, hostAndPort, readReason } from './network-errors.ts';
import { bareHost, portOf } from './proxy.ts';
import type { InstallTimings } from './timings.ts';

export interface ConnectionOptions {
  readonly paths: Paths;
  readonly timings: InstallTimings;
  /** Certificate authorities, PEM, asked for only when TLS is spoken. */
  authorities(): readonly string[];
  /** An abort ends every step with the signal's reason, an `InstallFailure`. */
  readonly signal: AbortSignal;
}

export interface Connection {
  /** Speaks HTTP with the server, or with the proxy that passes requests on. */
  readonly socket: Socket;
  readonly ends: Ends;
}

/** How long one of several addresses of a host is tried before the next. Node's quarter of a second is too short for a slow line. */
const nextAddressMs = 3_000;

/**
 * @param proxy passes on what it is asked for `http:` targets, and is a tunnel for `https:` ones
 * @throws InstallFailure with the words of Go's transport
 */
export async function openConnection(
  target: URL,
  proxy: URL | undefined,
  options: ConnectionOptions,
): Promise<Connection> {
  const first = proxy ?? target;
  let socket: Socket;
  try {
    socket = await dial(first, options);
  } catch (error) {
    throw proxy === undefined ? error : new InstallFailure(`proxyconnect tcp: ${(error as Error).message}`);
  }
  const ends = endsOf(socket);
  if (proxy !== undefined && target.protocol === 'https:') {
    await openTunnel(socket, target, proxy, ends, options);
    socket = await encrypt(socket, target, options);
  }
  return { socket, ends };
}

/** With TLS, when `url` says so. */
async function dial(url: URL, options: ConnectionOptions): Promise<Socket> {
  const [host, port] = [bareHost(url), portOf(url)];
  const { paths, timings } = options;
  const socket = connectTcp({ host, port, autoSelectFamilyAttemptTimeout: nextAddressMs });
  await until(socket, 'connect', {
    ...options,
    ms: timings.connectMs,
    late: `dial tcp ${hostAndPort(host, port)}: i/o timeout`,
    reason: (error) => dialReason(error, host, port, paths),
  });
  return url.protocol === 'https:' ? encrypt(socket, url, options) : socket;
}

async function encrypt(socket: Socket, url: URL, options: ConnectionOptions): Promise<Socket> {
  const host = bareHost(url);
  const ends = endsOf(socket);
  const encrypted = connectTls({
    socket,
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ca: [...options.authorities()],
    ALPNProtocols: ['http/1.1'],
  });
  await until(encrypted, 'secureConnect', {
    ...options,
    ms: options.timings.tlsHandshakeMs,
    late: 'net/http: TLS handshake timeout',
    reason: (error) => handshakeReason(error, ends, options.paths),
  });
  return encrypted;
}

function handshakeReason(error: Error, ends: Ends, paths: Paths): string {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (syscall !== undefined) {
    return readReason(error, ends, paths);
  }
  // Node reports a peer that closed during the handshake in this way.
  if (code === 'ECONNRESET') {
    return 'EOF';
  }
  // Node's text recommends its own option for the system's store, which we use anyway.
  if (code !== undefined && unknownAuthority.includes(code)) {
    return 'tls: failed to verify certificate: x509: certificate signed by unknown authority';
  }
  return `tls: ${message}`;
}

const unknownAuthority: readonly string[] = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
];

/** Asks the proxy for a tunnel. Afterwards `socket` leads to the target. */
function openTunnel(socket: Socket, target: URL, proxy: URL, ends: Ends, options: ConnectionOptions): Promise<void> {
  const host = hostAndPort(bareHost(target), portOf(target));
  const request = httpRequest({
    method: 'CONNECT',
    path: host,
    headers: { Host: host, ...proxyAuthorization(proxy) },
    createConnection: () => socket,
  });
  return new Promise((resolve, reject) => {
    const fail = (text: string): void => settle(() => reject(new InstallFailure(text)));
    const onAbort = (): void => settle(() => reject(options.signal.reason));
    const timer = setTimeout(
      () => fail('proxyconnect tcp: timeout awaiting the answer to CONNECT'),
      options.timings.responseHeadersMs,
    );
    const settle = (work: () => void, keep = false): void => {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
      if (!keep) {
        socket.destroy();
      }
      work();
    };
    options.signal.addEventListener('abort', onAbort);
    const refused = ({ statusCode, statusMessage }: IncomingMessage): void =>
      fail(`proxyconnect tcp: the proxy answered CONNECT with status ${statusCode} ${statusMessage ?? ''}`.trimEnd());
    request.on('connect', (answer, _socket, rest) => {
      if (answer.statusCode !== 200) {
        return refused(answer);
      }
      if (rest.length > 0) {
        socket.unshift(rest);
      }
      settle(resolve, true);
    });
    request.on('response', refused);
    request.on('error', (error) => fail(`proxyconnect tcp: ${closedOr(error, ends, options.paths)}`));
    request.end();
  });
}

/** Node reports a peer that closed before it answered as a reset without a system call. */
export function closedOr(error: Error, ends: Ends, paths: Paths): string {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return code === 'ECONNRESET' && syscall === undefined ? 'EOF' : readReason(error, ends, paths);
}

/** From the user name and password in the proxy's address. */
export function proxyAuthorization(proxy: URL): Record<string, string> {
  const credentials = basicCredentials(proxy);
  return credentials === undefined ? {} : { 'Proxy-Authorization': credentials };
}

export function basicCredentials(url: URL): string | undefined {
  if (url.username === '' && url.password === '') {
    return undefined;
  }
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

interface Step extends ConnectionOptions {
  readonly ms: number;
  /** The text of the failure when the event has not come in time. */
  readonly late: string;
  reason(error: Error): string;
}

/** Waits for one event of a socket. After any other outcome the socket is destroyed. @throws InstallFailure */
function until(socket: Socket, event: string, { ms, late, reason, signal }: Step): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (failure?: InstallFailure): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError).off(event, onEvent).off('close', onClose);
      if (failure === undefined) {
        resolve();
      } else {
        socket.destroy();
        reject(failure);
      }
    };
    const onError = (error: Error): void => settle(new InstallFailure(reason(error)));
    const onEvent = (): void => settle();
    const onClose = (): void => settle(new InstallFailure('EOF'));
    const onAbort = (): void => settle(signal.reason);
    const timer = setTimeout(() => settle(new InstallFailure(late)), ms);
    // The second listener stays, because an error between two steps or after the end must not end the process.
    socket.on('error', onError).on('error', () => {});
    socket.on(event, onEvent).on('close', onClose);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) {
      onAbort();
    }
  });
}
