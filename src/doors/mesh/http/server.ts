/**
 * HTTP for local programs, over the owner-only socket (Windows: pipe) and over loopback TCP (spec mesh.md §4): guards, then the
 * table of routes, then an answer in JSON whatever happens.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Transport } from '../../../../platform/transport.ts';
import { messageOf } from '../../../base/error-texts.ts';
import { refusal } from '../answer.ts';
import { pipeName } from '../folders.ts';
import type { MeshLog } from '../log.ts';
import { meshTimings } from '../timings.ts';
import { readBody } from './body.ts';
import type { EventStreams } from './event-streams.ts';
import { type GuardOptions, refusalOf, split, type Way } from './guards.ts';
import { sendPath } from './message-routes.ts';
import type { Routes } from './routes.ts';
import { writeAnswer } from './write-answer.ts';

export interface MeshServerOptions extends Omit<GuardOptions, 'warn'> {
  readonly log: MeshLog;
  readonly streams: EventStreams;
  readonly routes: Routes;
  readonly transport: Transport;
}

const eventsRoute = 'GET /v1/events';
const loopback = '127.0.0.1';
/** Every user of the host can open connections to the port; the socket is to have descriptors left whatever they do. */
const mostTcpConnections = 256;

export class MeshServer implements AsyncDisposable {
  readonly #options: MeshServerOptions;
  readonly #servers: Readonly<Record<Way, Server>>;
  /** Open connections, each with the number of answers that are on their way on it. */
  readonly #sockets = new Map<Socket, number>();
  #ending = false;
  /** Undone in reverse when it ends. */
  readonly #closings: (() => void)[] = [];

  constructor(options: MeshServerOptions) {
    this.#options = options;
    this.#servers = { owner: this.#create('owner'), tcp: this.#create('tcp') };
  }

  /** @returns the address @throws HostError */
  async listenForOwner(socketPath: string): Promise<string> {
    const { transport, log } = this.#options;
    const listener = await transport.listen(
      socketPath,
      {
        onConnection: (socket) => this.#servers.owner.emit('connection', socket),
        onRefused: (reason) => log.warn('ipc_connection_refused', { reason }),
        onError: (error) => log.error('ipc_listen_failed', { err: messageOf(error) }),
      },
      { fixedName: pipeName },
    );
    this.#closings.push(() => {
      listener.close();
      listener.unpublish();
    });
    return listener.address;
  }

  /** @param port 0 picks one @returns `127.0.0.1:<port>` @throws Node's error */
  listenOnLoopback(port: number): Promise<string> {
    const server = this.#servers.tcp;
    server.maxConnections = mostTcpConnections;
    let isTold = false;
    server.on('drop', () => {
      // Told once for as long as the port is full.
      if (!isTold) {
        this.#options.log.warn('ipc_connections_full', {
          limit: mostTcpConnections,
          remedy: 'use the socket, close connections that are not used, or close the port with --no-tcp',
        });
      }
      isTold = true;
    });
    server.on('connection', () => {
      isTold = false;
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: loopback, port }, () => {
        server.removeListener('error', reject);
        server.on('error', (error) => this.#options.log.error('ipc_listen_failed', { err: messageOf(error) }));
        this.#closings.push(() => server.close());
        resolve(`${loopback}:${(server.address() as AddressInfo).port}`);
      });
    });
  }

  #create(way: Way): Server {
    const server = createServer({ requireHostHeader: false }, (request, response) => {
      this.#count(request.socket, 1);
      response.on('close', () => this.#count(request.socket, -1));
      this.#serve(request, response, way).catch((error: unknown) => {
        const [path] = split(request.url ?? '');
        const name = path === sendPath ? 'ipc_send_failed' : 'ipc_request_failed';
        this.#options.log.error(name, { route: `${request.method} ${path}`, err: messageOf(error) });
        writeAnswer(response, refusal(500, 'internal'));
      });
    });
    server.on('connection', (socket: Socket) => {
      this.#sockets.set(socket, 0);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    server.on('clientError', answerUnreadable);
    server.on('connect', (_request: IncomingMessage, socket: Socket) =>
      answerRaw(socket, '404 Not Found', 'not found'),
    );
    return server;
  }

  #count(socket: Socket, change: number): void {
    const answers = this.#sockets.get(socket);
    if (answers === undefined) {
      return;
    }
    this.#sockets.set(socket, answers + change);
    if (this.#ending && answers + change === 0) {
      socket.destroySoon();
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse, way: Way): Promise<void> {
    const { log, streams, routes, token, publicHealth } = this.#options;
    const refused = refusalOf(request, way, { token, publicHealth, warn: (msg) => log.warn(msg) });
    if (refused !== undefined) {
      request.resume();
      writeAnswer(response, refusal(refused.status, refused.error));
      return;
    }
    const [path, query] = split(request.url ?? '');
    const name = `${request.method} ${path}`;
    if (name === eventsRoute) {
      request.resume();
      streams.open(response);
      return;
    }
    const route = Object.hasOwn(routes, name) ? routes[name] : undefined;
    if (route === undefined) {
      request.resume();
      writeAnswer(response, refusal(404, 'not found'));
      return;
    }
    let body: unknown;
    if (route.limitBytes === undefined) {
      request.resume();
    } else {
      const read = await readBody(request, route.limitBytes).catch(() => undefined);
      if (read === undefined) {
        // Whoever asked has gone away.
        return;
      }
      if ('refused' in read) {
        if (read.refused.status === 413) {
          log.warn('ipc_body_too_large', {
            route: name,
            limit_bytes: route.limitBytes,
            remedy: 'send less, or several messages',
          });
        }
        writeAnswer(response, read.refused);
        return;
      }
      body = read.value;
    }
    const { headers } = request;
    writeAnswer(response, await route.answer({ query: new URLSearchParams(query), headers, body }));
  }

  /** Accepts nobody any more, ends event streams, lets answers go out, then cuts what is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending = true;
    for (const close of this.#closings.splice(0).reverse()) {
      close();
    }
    this.#options.streams.end();
    const closed = new Promise<void>((resolve) => {
      const look = (): void => {
        if (this.#sockets.size === 0) {
          resolve();
        }
      };
      for (const [socket, answers] of this.#sockets) {
        socket.on('close', look);
        // One that waits for a request has nothing to lose; the others end with their last answer.
        if (answers === 0) {
          socket.destroySoon();
        }
      }
      look();
    });
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, meshTimings.lastAnswersMs);
    });
    await Promise.race([closed, limit]);
    clearTimeout(timer);
    for (const socket of this.#sockets.keys()) {
      socket.destroy();
    }
  }
}

/** What is no HTTP at all. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    answerRaw(socket, '431 Request Header Fields Too Large', 'headers_too_large');
    return;
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    answerRaw(socket, '408 Request Timeout', 'request_timeout');
    return;
  }
  answerRaw(socket, '400 Bad Request', 'bad_request');
}

function answerRaw(socket: Socket, status: string, error: string): void {
  const text = JSON.stringify({ error });
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`,
  );
}
