/** Failures of a connection in the words of Go's transport, which drivers know (spec install.md §4, §10). */
import type { Socket } from 'node:net';
import { isIPv6 } from 'node:net';
import type { Paths } from '../../platform/paths.ts';

/** `dial tcp 127.0.0.1:80: connect: connection refused`, `dial tcp: lookup nowhere.test: no such host`. */
export function dialReason(error: unknown, host: string, port: number, paths: Paths): string {
  // When several addresses were tried, the text names the last one.
  const last = error instanceof AggregateError ? error.errors.at(-1) : error;
  const { code, syscall, address = host, port: triedPort = port } = last as ConnectError;
  if (syscall === 'getaddrinfo') {
    return `dial tcp: lookup ${host}: ${lookupReasons[code ?? ''] ?? paths.reason(last)}`;
  }
  return `dial tcp ${hostAndPort(address, triedPort)}: connect: ${paths.reason(last)}`;
}

const lookupReasons: Record<string, string> = {
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'temporary failure in name resolution',
};

interface ConnectError extends NodeJS.ErrnoException {
  readonly address?: string;
  readonly port?: number;
}

export function hostAndPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Both ends of an open connection, for messages about a broken one, whose socket does not know its ends any more. */
export interface Ends {
  readonly local: string;
  readonly remote: string;
}

export function endsOf(socket: Socket): Ends {
  return {
    local: hostAndPort(socket.localAddress ?? '', socket.localPort ?? 0),
    remote: hostAndPort(socket.remoteAddress ?? '', socket.remotePort ?? 0),
  };
}

/** `read tcp 127.0.0.1:1000->127.0.0.1:80: read: connection reset by peer`. */
export function readReason(error: unknown, ends: Ends, paths: Paths): string {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code?.startsWith('HPE_') === true) {
    return `malformed HTTP response: ${(error as Error).message}`;
  }
  // TLS alerts and the like have texts of their own.
  if (syscall === undefined) {
    return (error as Error).message;
  }
  return `read tcp ${ends.local}->${ends.remote}: ${syscall}: ${paths.reason(error)}`;
}
