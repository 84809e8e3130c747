/** Servers of a test: HTTP, HTTPS with a private authority, and proxies. Loopback only, gone when the test ends. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener, request } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** Listens on a free port of 127.0.0.1. @returns the port */
export async function listen(server: Server): Promise<number> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    // Some tests want the client to break off.
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve, reject) => server.on('error', reject).listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of open) {
      socket.destroy();
    }
    await closed;
  });
  return (server.address() as AddressInfo).port;
}

/** @returns `http://127.0.0.1:<port>` */
export async function serveHttp(answer: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listen(createHttpServer(answer))}`;
}

/** A server whose answers the test writes byte by byte, whether or not they are HTTP. */
export async function serveTcp(talk: (socket: Socket) => void): Promise<string> {
  return `http://127.0.0.1:${await listen(createTcpServer(talk))}`;
}

export interface Authority {
  /** File with the certificate of the authority, PEM. */
  readonly file: string;
  /** A server certificate that the authority has signed. */
  readonly key: Buffer;
  readonly cert: Buffer;
}

/** A certificate authority that no system trusts, and a server certificate for the names. */
export function createAuthority(...names: string[]): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'hf-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...fresh,
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.pem'),
    '-days',
    '2',
    '-subj',
    '/CN=test authority',
  );
  openssl('req', ...fresh, '-keyout', file('key'), '-out', file('csr'), '-subj', '/CN=test server');
  const alternatives = names.map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',');
  writeFileSync(file('ext'), `subjectAltName=${alternatives}\n`);
  openssl(
    'x509',
    '-req',
    '-in',
    file('csr'),
    '-CA',
    file('ca.pem'),
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    file('ext'),
    '-out',
    file('cert'),
  );
  return { file: file('ca.pem'), key: readFileSync(file('key')), cert: readFileSync(file('cert')) };
}

/** @returns the port */
export function serveHttps(authority: Authority, answer: RequestListener): Promise<number> {
  return listen(createHttpsServer({ key: authority.key, cert: authority.cert }, answer));
}

/** What a proxy was asked for: `CONNECT host:port` or `GET http://…`, with its credentials if there were any. */
export interface Proxy {
  readonly port: number;
  readonly asked: string[];
}

/**
 * A proxy that leads every host to 127.0.0.1, whatever it is called.
 * @param options.secure speaks TLS itself
 */
export async function startProxy(
  options: { readonly secure?: Authority; readonly refuseWith?: string } = {},
): Promise<Proxy> {
  const asked: string[] = [];
  const note = (line: string, credentials: string | undefined) =>
    asked.push(credentials === undefined ? line : `${line} ${credentials}`);
  const pass: RequestListener = (incoming, outgoing) => {
    note(`${incoming.method} ${incoming.url}`, incoming.headers['proxy-authorization']);
    const { port, pathname, search } = new URL(incoming.url ?? '');
    const onward = request({ host: '127.0.0.1', port, path: pathname + search, headers: incoming.headers });
    onward.on('response', (answer) => {
      outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    onward.end();
  };
  const { secure } = options;
  const server =
    secure === undefined ? createHttpServer(pass) : createHttpsServer({ key: secure.key, cert: secure.cert }, pass);
  server.on('connect', (incoming, socket: Socket) => {
    note(`CONNECT ${incoming.url}`, incoming.headers['proxy-authorization']);
    if (options.refuseWith !== undefined) {
      socket.end(`HTTP/1.1 ${options.refuseWith}\r\n\r\n`);
      return;
    }
    const onward = connect(Number(incoming.url?.split(':').pop()), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    for (const end of [socket, onward]) {
      end.on('error', () => {}).on('close', () => [socket, onward].map((each) => each.destroy()));
    }
  });
  return { port: await listen(server), asked };
}
