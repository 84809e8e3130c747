/** The daemon's end of the AF_UNIX socket: bound under a temporary name, renamed into place, 0600 from its first moment. */

import { renameSync, statSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { HostError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { Listener, ListenerEvents, Transport } from '../transport.ts';
import { socketPathLimit } from './dial.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { FileIdentity } from './file-identity.ts';
import { peerUser } from './peer-credentials.ts';
import { unlinkQuietly } from './plain-file.ts';
import { randomHex } from './random.ts';
import type { PosixSystem } from './system.ts';

/**
 * Connections that wait to be accepted. Beyond it a client of ours is told EAGAIN and does not wait, as one of TCP would; the
 * system lowers it to its own limit (Linux: net.core.somaxconn, 4096).
 */
const backlog = 4096;

/** @returns `Transport.listen` */
export function createListen(os: PosixSystem, paths: Paths): Transport['listen'] {
  const limit = socketPathLimit[os];

  function bindFailure(socketPath: string, reason: string, remedy = '', cause?: unknown): HostError {
    return new HostError(`listen unix: listen unix ${socketPath}: bind: ${reason}`, remedy, { cause });
  }

  async function listen(socketPath: string, events: ListenerEvents): Promise<Listener> {
    const bytes = Buffer.byteLength(socketPath);
    if (bytes > limit) {
      throw bindFailure(
        socketPath,
        paths.reasonForCode('EINVAL'),
        `socket path has ${bytes} bytes, the limit is ${limit}; choose a shorter -socket directory`,
      );
    }
    let directory: DirectoryHandle;
    try {
      directory = DirectoryHandle.openTrusted(dirname(socketPath));
    } catch (error) {
      if (error instanceof HostError) {
        throw bindFailure(socketPath, paths.reasonForCode('EACCES'), `${error.message}; ${error.remedy}`, error);
      }
      throw bindFailure(socketPath, paths.reason(error), '', error);
    }
    const name = basename(socketPath);
    const temporary = temporaryName(name);
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: false });
    try {
      const bindAt = shortest(join(dirname(socketPath), temporary), directory.at(temporary), limit);
      await bind(server, bindAt);
      const bound = new FileIdentity(directory.at(temporary));
      renameOver(directory.at(temporary), directory.at(name));
      accept(server, events);
      return new UnixListener(paths.clean(socketPath), server, directory, name, bound);
    } catch (error) {
      server.close();
      unlinkQuietly(directory.at(temporary));
      directory.close();
      throw bindFailure(socketPath, paths.reason(error), '', error);
    }
  }

  function accept(server: Server, events: ListenerEvents): void {
    server.on('connection', (socket) => {
      const refusal = foreignPeer(socket, os);
      if (refusal !== undefined) {
        socket.destroy();
        events.onRefused(refusal);
        return;
      }
      events.onConnection(socket);
    });
    server.on('error', (error) => events.onError(error));
  }

  return listen;
}

/**
 * Not longer than the name it becomes, because the whole path has a limit; 24 bits at least, also for a shorter name.
 * @returns `.s` and hexadecimal digits
 */
export function temporaryName(name: string): string {
  const digits = Math.max(6, Math.min(8, Buffer.byteLength(name) - 2));
  return `.s${randomHex(4).slice(0, digits)}`;
}

/** A direct path shows up readable in `ss` and `lsof`; the way through the descriptor is for paths near the limit. */
function shortest(direct: string, throughDescriptor: string, limit: number): string {
  return Buffer.byteLength(direct) <= limit ? direct : throughDescriptor;
}

/** Binds and listens; umask 0177 around the bind means the socket never exists with another mode than 0600. */
function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.removeListener('error', reject);
      resolve();
    });
    const umask = process.umask(0o177);
    try {
      // For a path, Node binds inside this call; only the events come later.
      server.listen({ path, backlog });
    } finally {
      process.umask(umask);
    }
  });
}

/** rename(2) replaces a stale socket or file at once, never a folder: that one is in the way, as it is for bind(2). */
function renameOver(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EISDIR' && code !== 'ENOTEMPTY' && code !== 'EEXIST') {
      throw error;
    }
    throw Object.assign(new Error('a folder is in the way', { cause: error }), { code: 'EADDRINUSE' });
  }
}

/**
 * The mode of the socket keeps other users out; this check still does when somebody has changed the mode
 * (threat 1 of docs/security.md). Root may connect: it could read our memory anyway.
 */
function foreignPeer(socket: Socket, os: PosixSystem): string | undefined {
  const own = process.geteuid?.();
  const uid = peerUser(socket, os);
  if (own === undefined || uid === undefined || uid === own || uid === 0) {
    return undefined;
  }
  return `peer has uid ${uid}, this daemon serves uid ${own} only`;
}

class UnixListener implements Listener {
  readonly address: string;
  readonly #server: Server;
  readonly #directory: DirectoryHandle;
  readonly #name: string;
  readonly #bound: FileIdentity;
  #closed = false;

  constructor(address: string, server: Server, directory: DirectoryHandle, name: string, bound: FileIdentity) {
    this.address = address;
    this.#server = server;
    this.#directory = directory;
    this.#name = name;
    this.#bound = bound;
  }

  leadsHere(): boolean {
    try {
      return this.#bound.is(statSync(this.address));
    } catch {
      return false;
    }
  }

  close(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.#server.close();
  }

  unpublish(): void {
    this.#bound.removeAt(this.#directory.at(this.#name));
    this.#directory.close();
  }
}
