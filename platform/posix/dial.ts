/**
 * The client's end of the AF_UNIX socket. The bridge loads this file and little else (docs/performance.md "Memory"): Node
 * dials, native code is loaded when the connection stands and the kernel is asked who listens, and the relay when it is
 * asked for.
 */
import { fstatSync } from 'node:fs';
import { connect as connectSocket, type Socket } from 'node:net';
import type { Dialer, DialOptions, RelayOptions } from '../dialer.ts';
import { ForeignListenerError, SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { PosixSystem } from './system.ts';

const standardInput = 0;
const standardOutput = 1;

/** sizeof(sun_path) less the terminating NUL. */
export const socketPathLimit = { linux: 107, darwin: 103 } as const;

/** After how many refusals in a row nobody listens; Linux answers a full queue with EAGAIN. */
const refusalsBelieved = { linux: 1, darwin: 3 } as const;
const refusedPauseMs = 50;

export function createDialer(os: PosixSystem, paths: Paths): Dialer {
  const limit = socketPathLimit[os];

  /**
   * On macOS a listener whose queue of 128 is full refuses, as a socket does that nobody listens at: one refusal tells
   * nothing there.
   */
  async function dial(socketPath: string, options: DialOptions = {}): Promise<Socket> {
    for (let left = refusalsBelieved[os]; ; left--) {
      try {
        return await dialOnce(socketPath, options);
      } catch (error) {
        if (left <= 1 || (error as SystemCallError).code !== 'ECONNREFUSED') {
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, refusedPauseMs));
      }
    }
  }

  function dialOnce(socketPath: string, options: DialOptions): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const refuse = (error: unknown) => {
        const reason = error instanceof ForeignListenerError ? error.message : paths.reason(error);
        const { code = '' } = error as NodeJS.ErrnoException;
        reject(new SystemCallError(`dial unix ${socketPath}: connect: ${reason}`, code, { cause: error }));
      };
      if (Buffer.byteLength(socketPath) > limit || socketPath.includes('\0')) {
        refuse(Object.assign(new Error('socket path too long'), { code: 'EINVAL' }));
        return;
      }
      // Cleaned, because the folder we serve in is the cleaned one: `link/../x` is another file to the system.
      const { onread } = options;
      const socket = connectSocket({
        path: paths.clean(socketPath),
        allowHalfOpen: true,
        ...(onread === undefined ? {} : { onread }),
      });
      // Pause before the connection stands, because Node begins to read as soon as it does.
      if (options.paused) {
        socket.pause();
      }
      const timer =
        options.timeoutMs === undefined
          ? undefined
          : setTimeout(
              () => socket.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })),
              options.timeoutMs,
            );
      const failed = (error: Error): void => {
        clearTimeout(timer);
        refuse(error);
      };
      socket.once('error', failed);
      socket.once('connect', () => {
        clearTimeout(timer);
        assertListenerIsOurs(socket, os).then(
          () => {
            socket.removeListener('error', failed);
            resolve(socket);
          },
          (error: Error) => socket.destroy(error),
        );
      });
    });
  }

  return {
    halfClose: true,
    dial,
    ...(os === 'linux' && {
      relay: async (socket: Socket, options: RelayOptions) =>
        isPipe(standardInput) && isPipe(standardOutput) && (await import('./relay.ts')).relayBySplice(socket, options),
      trimMemory: async () => (await import('./memory.ts')).trimMemory(),
    }),
  };
}

/**
 * Whoever can put a socket in the way of a client would be given its token. The kernel keeps the user that called
 * listen(2), which neither a path nor the owner of a file can pretend. Root is trusted: it could read our memory anyway.
 * @throws ForeignListenerError, or the error of a connection that has broken meanwhile
 */
async function assertListenerIsOurs(socket: Socket, os: PosixSystem): Promise<void> {
  const own = process.geteuid?.();
  const { peerUser } = await import('./peer-credentials.ts');
  if (socket.destroyed) {
    throw Object.assign(new Error('the connection has ended'), { code: 'ECONNRESET' });
  }
  const uid = peerUser(socket, os);
  if (own !== undefined && uid !== own && uid !== 0) {
    const user = uid === undefined ? 'a user the system does not tell' : `user ${uid}`;
    throw new ForeignListenerError(
      `its listener belongs to ${user}, not to user ${own} or root; nothing was sent to it`,
    );
  }
}

/** `splice` moves bytes from or to a pipe only. */
function isPipe(fd: number): boolean {
  try {
    return fstatSync(fd).isFIFO();
  } catch {
    return false;
  }
}
