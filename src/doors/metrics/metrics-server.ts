/**
 * `-metrics-addr`: `GET /metrics` over HTTP (spec modes.md §14), on a loopback address or an owner-only socket. There is no
 * authentication, so another address is warned about, and on loopback a request must name a loopback host: a web page
 * whose name was made to lead here (DNS rebinding) does not (threat 11 of docs/security.md).
 */
import { lstatSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { isForeignListener } from '../../../platform/errors.ts';
import type { Platform } from '../../../platform/platform.ts';
import type { Listener } from '../../../platform/transport.ts';
import type { Counters } from '../../base/counters.ts';
import { failpoint } from '../../base/failpoints.ts';
import type { Log } from '../../base/log.ts';
import { timings } from '../../base/timings.ts';
import { KeptPage } from './kept-page.ts';
import { infoName, type MetricSources } from './metric-gauges.ts';
import { createRegistry } from './metrics.ts';
import { type ScrapeAnswer, ScrapeConnection, type ScrapeRequest } from './scrape-connection.ts';

/** Stops listening and cuts the scrapes in progress when it is disposed of. */
export type MetricsServer = Disposable;

export interface MetricsServerOptions {
  /** `host:port` (no host: loopback; port 0 picks one), or `unix:<path>`. */
  readonly address: string;
  readonly sources: MetricSources;
  readonly counters: Counters;
  readonly platform: Platform;
  readonly log: Log;
}

const metricsType = 'text/plain; version=0.0.4; charset=utf-8';
const textType = 'text/plain; charset=utf-8';
const unixPrefix = 'unix:';
const defaultHost = '127.0.0.1';
/** A scraper needs one connection. With more, the one that has waited longest makes room. */
const maxConnections = 16;
/** Connections that are cut are told so often. */
const tellCutMs = 60_000;
/** The most characters that are read from a process that already listens there, to find out who it is. */
const mostAskedChars = 1 << 20;

/** @throws Error of the bind, or for an address that is none */
export async function serveMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const { address, log } = options;
  const scrapes = new Scrapes(options);
  if (address.startsWith(unixPrefix) && address !== unixPrefix) {
    const listener = await listenOnSocket(scrapes, options);
    return {
      [Symbol.dispose]() {
        failpoint('metrics.close.before');
        listener.close();
        listener.unpublish();
        scrapes.cutAll();
      },
    };
  }
  const server = createServer({ allowHalfOpen: true }, (socket) => scrapes.accept(socket));
  await listenOnPort(server, parseAddress(address));
  const bound = server.address() as AddressInfo;
  if (isLoopback(bound.address)) {
    scrapes.isTrustedHost = namesLoopback;
  } else {
    warnAboutAddress(bound, log);
  }
  log.info('Server', `metrics: listening on ${shown(bound)}`);
  // A scrape in progress must not delay the end of the daemon.
  return {
    [Symbol.dispose]() {
      failpoint('metrics.close.before');
      server.close();
      scrapes.cutAll();
    },
  };
}

/** The open connections of scrapers, and what they are answered. */
class Scrapes {
  isTrustedHost: (name: string | undefined) => boolean = () => true;
  readonly #options: MetricsServerOptions;
  readonly #page: KeptPage;
  /** Oldest first. */
  readonly #open = new Set<ScrapeConnection>();
  #toldCutAt = Number.NEGATIVE_INFINITY;

  constructor(options: MetricsServerOptions) {
    const { sources } = options;
    const registry = createRegistry(sources);
    this.#options = options;
    this.#page = new KeptPage(async () => {
      sources.latency.probe();
      // An engine in another process tells its counters together with its sessions.
      await sources.sessions();
      return registry.metrics();
    }, timings.metricsKeptMs);
  }

  accept(socket: Socket): void {
    this.#makeRoom();
    const connection = new ScrapeConnection(socket, {
      answer: (request) => this.#answer(request),
      requestMs: timings.metricsRequestMs,
      idleMs: timings.metricsIdleMs,
      onCut: (reason) => this.#tellCut(reason),
      onClose: () => this.#open.delete(connection),
    });
    this.#open.add(connection);
  }

  cutAll(): void {
    for (const connection of this.#open) {
      connection.destroy();
    }
  }

  /** A scraper is let in even when somebody else keeps all the connections open. */
  #makeRoom(): void {
    if (this.#open.size < maxConnections) {
      return;
    }
    for (const connection of this.#open) {
      if (connection.isWaiting) {
        this.#open.delete(connection);
        connection.destroy();
        this.#tellCut(`more than ${maxConnections} are open, and it waited longest`);
        return;
      }
    }
  }

  async #answer({ method, target, host }: ScrapeRequest): Promise<ScrapeAnswer> {
    if (!this.isTrustedHost(host)) {
      return { status: 403, type: textType, text: 'use http://127.0.0.1, http://[::1] or http://localhost\n' };
    }
    if (!['GET', 'HEAD'].includes(method) || target.split('?')[0] !== '/metrics') {
      return { status: 404, type: textType, text: '' };
    }
    try {
      return { status: 200, type: metricsType, text: await this.#page.get() };
    } catch (error) {
      this.#options.log.error('Server', `metrics: ${String(error)}`);
      return { status: 500, type: textType, text: '' };
    }
  }

  #tellCut(reason: string): void {
    const { counters, log } = this.#options;
    counters.metricsConnectionsCut++;
    const now = performance.now();
    if (now - this.#toldCutAt >= tellCutMs) {
      this.#toldCutAt = now;
      log.warn('Server', `metrics: a connection was cut: ${reason}; more of them are only counted for a minute`);
    }
  }
}

/** Like the daemon's own socket: 0600 from its first moment, peers of other users refused. */
async function listenOnSocket(scrapes: Scrapes, options: MetricsServerOptions): Promise<Listener> {
  const { platform, log, counters } = options;
  const path = platform.paths.expandTilde(options.address.slice(unixPrefix.length));
  if (!platform.transport.listensOnAnyPath) {
    throw new Error(`${unixPrefix}${path}: this system has no such sockets; use 127.0.0.1:<port>`);
  }
  // The new socket is renamed over whatever lies there, so a file of the user's or a socket that somebody answers on is
  // refused first.
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isSocket()) {
    throw new Error(`listen unix ${path}: it exists and is no socket`);
  }
  if (found !== undefined && (await isForeign(path, platform))) {
    throw new Error(`listen unix ${path}: bind: ${platform.paths.reasonForCode('EADDRINUSE')}`);
  }
  const listener = await platform.transport.listen(path, {
    onConnection: (socket) => scrapes.accept(socket),
    onRefused(reason) {
      counters.peersRefused++;
      log.warn('Server', `metrics: connection refused: ${reason}`);
    },
    onError: (error) => log.error('Server', `metrics: accept: ${error.message}`),
  });
  log.info('Server', `metrics: listening on ${unixPrefix}${path}`);
  return listener;
}

/**
 * Whether somebody accepts at the path who is no metrics listener of a Holdfast: the daemon's own socket, the user's SSH
 * agent. A listener of a predecessor, which may go on with its sessions, is taken over like its socket.
 */
async function isForeign(path: string, { transport }: Platform): Promise<boolean> {
  let socket: Socket;
  try {
    socket = await transport.dial(path, { timeoutMs: timings.metricsAskMs });
  } catch (error) {
    // A listener of another user, who is not even asked.
    return isForeignListener(error);
  }
  const limit = setTimeout(() => socket.destroy(), timings.metricsAskMs);
  let text = '';
  try {
    socket.write('GET /metrics HTTP/1.0\r\n\r\n');
    for await (const chunk of socket) {
      text += String(chunk);
      const isHttp = text.startsWith('HTTP/'.slice(0, text.length));
      if (!isHttp || text.includes(infoName) || text.length > mostAskedChars) {
        break;
      }
    }
  } catch {
    // The connection broke; what was received until then decides.
  } finally {
    clearTimeout(limit);
    socket.destroy();
  }
  return !text.includes(infoName);
}

function listenOnPort(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host }, () => {
      server.removeListener('error', reject);
      server.on('error', () => {});
      server.unref();
      resolve();
    });
  });
}

function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new Error(`listen tcp: address ${address}: want host:port, or unix:<path>`);
  }
  return { host: match[1] || match[2] || defaultHost, port };
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address);
}

/** Whether a `Host` header names this machine; it may have a port. */
function namesLoopback(host: string | undefined): boolean {
  // Every browser sends the header, so a request without one comes from a plain HTTP/1.0 client.
  return host === undefined || /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host);
}

function warnAboutAddress(bound: AddressInfo, log: Log): void {
  log.warn(
    'Server',
    `metrics: ${shown(bound)} can be reached from other hosts, and whoever reaches it can read the metrics; ` +
      'use 127.0.0.1:<port>, or unix:<path> on a shared host',
  );
}

function shown({ address, family, port }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}
