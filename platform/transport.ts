/** Local connections between clients and the daemon: Unix sockets, on Windows named pipes. Part of `Platform`. */
import type { Socket } from 'node:net';
import type { Dialer, EndpointOptions } from './dialer.ts';

export interface Listener {
  /** Name a client connects to: the socket path, on Windows the pipe name. */
  readonly address: string;
  /** Whether the published path still leads to this listener (dev+inode of the socket; content of `rpc.pipe`). */
  leadsHere(): boolean;
  /** Stops accepting. Open connections live on. */
  close(): void;
  /** Removes what was published, only while it is still ours. */
  unpublish(): void;
}

export interface Transport extends Dialer {
  /** Whether every path can be an address of its own, also one outside a run directory (`-metrics-addr unix:<path>`). */
  readonly listensOnAnyPath: boolean;
  /** Names in a run directory that the transport of another OS has left there; a start removes them (spec platform.md §3). */
  readonly foreignNames: readonly string[];
  /**
   * Publishes an owner-only endpoint for `socketPath` and accepts on it.
   * Connections are half-open capable where the OS knows half-close; a peer of another user is refused.
   * @throws HostError whose message is the contract's bind failure (spec modes.md §5)
   */
  listen(socketPath: string, events: ListenerEvents, options?: EndpointOptions): Promise<Listener>;
  /**
   * Gives the kernel as much as it takes at once, past the queue of the stream, which must be empty. Several times cheaper
   * than `Socket.write`. @returns how many bytes were taken; 0 also for a broken connection, which the next `Socket.write`
   * finds out. `undefined` where the OS has no such call.
   */
  readonly sendNow?: (socket: Socket, bytes: Buffer) => number;
  /** Who is at the other end of a connection, dialled or accepted; `undefined`: the OS does not tell. */
  peerOf(socket: Socket): { readonly pid: number } | undefined;
  /**
   * How many bytes that we have sent the peer has not read yet; `undefined` when the OS does not tell. Exact, so that a
   * reader of a few bytes a second can be told from one that has stopped.
   */
  readonly unreadBytes?: (socket: Socket) => number | undefined;
}

export interface ListenerEvents {
  onConnection(socket: Socket): void;
  /** A peer that is not allowed; for the log. The connection is closed already. */
  onRefused(reason: string): void;
  onError(error: Error): void;
}
