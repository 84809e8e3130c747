/** The client's end of a local connection: dialling, and moving bytes as `-bridge` does. Part of `ClientPlatform`. */
import type { OnReadOpts, Socket } from 'node:net';

export interface Dialer {
  /** Whether ending our direction of a connection leaves the other one open (spec modes.md §9). */
  readonly halfClose: boolean;
  /**
   * Connects to a listener of the user's own or of root (Windows: to a pipe of the user's own). To anybody else's no byte is
   * sent: it could be a trap that waits for the token.
   * @throws SystemCallError `dial ...: <reason>`, with the code EACCES for a listener of another user
   */
  dial(socketPath: string, options?: DialOptions): Promise<Socket>;
  /**
   * Moves bytes between the standard streams and a connection that was dialled `paused`, as spec modes.md §9 has it, until
   * the connection ends. The thread does nothing else meanwhile. Resolves to `false`, with no byte moved, where this OS or
   * these streams do not allow it. `undefined` on an OS that never does.
   */
  readonly relay?: (socket: Socket, options: RelayOptions) => Promise<boolean>;
  /** As `Host.trimMemory`, for a client that has become idle. */
  readonly trimMemory?: () => Promise<void>;
}

export interface RelayOptions {
  /** `undefined`: nothing is read that the output does not take. */
  readonly trickle: TrickleOptions | undefined;
}

/**
 * For an output behind which a server takes bytes in large steps, as sshd does: while it stands still some bytes are read
 * and kept all the same, because to the daemon a slow client would look like one that has stopped.
 */
export interface TrickleOptions {
  /** From one time to the next. */
  readonly everyMs: number;
  /** An output that takes no byte for so long is one whose client has stopped: nothing is read for it any more. */
  readonly patienceMs: number;
}

export interface EndpointOptions {
  /**
   * Where a path is no address (Windows): the pipe has this name with the user's identifier behind it, and no file tells it,
   * so that programs of others can find it. Elsewhere the path alone counts.
   */
  readonly fixedName?: string;
}

export interface DialOptions extends EndpointOptions {
  readonly timeoutMs?: number;
  /** Nothing is read from the connection until its `resume`. */
  readonly paused?: boolean;
  /** What comes is read to there, from the first `resume` on at the latest, and the socket emits no `data`. */
  readonly onread?: OnReadOpts;
}
