/**
 * The client's end of the AF_UNIX socket. The bridge loads this file and little else (docs/performance.md "Memory"), so it
 * needs no native code: Node dials, and the relay is loaded when it is asked for.
 */
import { fstatSync } from 'node:fs';
import { connect as connectSocket, type Socket } from 'node:net';
import type { Dialer, DialOptions } from '../dialer.ts';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { PosixSystem } from './system.ts';

const standardInput = 0;
const standardOutput = 1;

/** sizeof(sun_path) less the terminating NUL. */
export const socketPathLimit = { linux: 107, darwin: 103 } as const;

export function createDialer(os: PosixSystem, paths: Paths): Dialer {
  const limit = socketPathLimit[os];

  function dial(socketPath: string, options: DialOptions = {}): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const refuse = (error: unknown) =>
        reject(
          new SystemCallError(
            `dial unix ${socketPath}: connect: ${paths.reason(error)}`,
            (error as NodeJS.ErrnoException).code ?? '',
            { cause: error },
          ),
        );
      if (Buffer.byteLength(socketPath) > limit || socketPath.includes('\0')) {
        refuse(Object.assign(new Error('socket path too long'), { code: 'EINVAL' }));
        return;
      }
      // Cleaned, because the folder we serve in is the cleaned one: `link/../x` is another file to the system.
      const socket = connectSocket({ path: paths.clean(socketPath), allowHalfOpen: true });
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
      socket.once('connect', () => {
        clearTimeout(timer);
        socket.removeListener('error', refuse);
        resolve(socket);
      });
      socket.once('error', (error) => {
        clearTimeout(timer);
        refuse(error);
      });
    });
  }

  return {
    halfClose: true,
    dial,
    ...(os === 'linux' && {
      relay: async (socket: Socket) =>
        isPipe(standardInput) && isPipe(standardOutput) && (await import('./relay.ts')).relayBySplice(socket),
    }),
  };
}

/** `splice` moves bytes from or to a pipe only. */
function isPipe(fd: number): boolean {
  try {
    return fstatSync(fd).isFIFO();
  } catch {
    return false;
  }
}
