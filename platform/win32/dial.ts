/**
 * The client's end of the named pipe: finds its name in `rpc.pipe`, and trusts no pipe of another user
 * (spec platform.md §3 "Named pipe").
 */
import { readFileSync } from 'node:fs';
import { win32 } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Out } from '../../native-bindings/out.ts';
import type { Dialer } from '../dialer.ts';
import { ForeignListenerError, SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { keeperPipeFileName, keeperSocketName, pipeFileName } from '../published-names.ts';
import { toSocket } from './handles.ts';
import { rememberPeer } from './peer-credentials.ts';
import { currentUser, ownerOf, userOf } from './security.ts';
import { lastError } from './system-errors.ts';

export const maxPublishedBytes = 256;
export const pipePrefix = '\\\\.\\pipe\\claustrum-';
const pipeName = /^\\\\\.\\pipe\\claustrum-[0-9a-f]{16}$/;
const busyRetryMs = 10;
/** How long a dial without a bound of its own waits for a free instance. */
const defaultDialMs = 5_000;

/** @param trustedUser security identifier of the user whose pipes we trust */
export function createDialer(paths: Paths, trustedUser: () => string = currentUser): Dialer {
  return {
    halfClose: false,

    async dial(socketPath, options = {}) {
      const path = win32.resolve(socketPath);
      const file = win32.join(win32.dirname(path), publishedIn(path));
      const target = { shown: file };
      try {
        const name = options.fixedName === undefined ? readPublished(file) : fixedPipe(options.fixedName);
        target.shown = name;
        const handle = await openClient(name, options.timeoutMs ?? defaultDialMs);
        assertServerIs(trustedUser(), handle);
        const { onread } = options;
        const more = onread === undefined ? {} : { onread };
        const socket = toSocket(handle, { readable: true, writable: true, ...more });
        rememberPeer(socket, handle, 'server');
        return socket;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const reason = error instanceof ForeignListenerError ? error.message : paths.reason(error);
        throw new SystemCallError(`dial pipe ${target.shown}: ${reason}`, code ?? '', { cause: error });
      }
    },
  };
}

/** A pipe that is found without a file: one for each user. @throws WindowsError */
export function fixedPipe(fixedName: string): string {
  return `\\\\.\\pipe\\${fixedName}-${currentUser()}`;
}

/** Name of the file that tells the pipe: whatever the socket is called, there is one daemon and one keeper in a folder. */
export function publishedIn(socketPath: string): string {
  return win32.basename(socketPath) === keeperSocketName ? keeperPipeFileName : pipeFileName;
}

/** @throws WindowsError or Node's error */
function readPublished(file: string): string {
  const text = readFileSync(file, { encoding: 'latin1' }).slice(0, maxPublishedBytes);
  // Anything else could lead to a pipe of another machine.
  if (!pipeName.test(text)) {
    throw new Error(`${file} does not name a pipe of ours`);
  }
  return text;
}

/**
 * Opens the client end. Whoever serves it can ask who we are, but cannot act as us (SECURITY_IDENTIFICATION).
 * @throws WindowsError
 */
async function openClient(name: string, timeoutMs: number): Promise<Handle> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const handle = kernel32.CreateFileW(
      name,
      kernel32.GENERIC_READ | kernel32.GENERIC_WRITE,
      0,
      null,
      kernel32.OPEN_EXISTING,
      kernel32.FILE_FLAG_OVERLAPPED | kernel32.SECURITY_SQOS_PRESENT | kernel32.SECURITY_IDENTIFICATION,
      null,
    );
    if (handle !== kernel32.INVALID_HANDLE_VALUE) {
      return handle;
    }
    const failure = lastError('CreateFile');
    // More clients at once than instances: the server makes another within one turn of its loop.
    if (failure.number !== kernel32.ERROR_PIPE_BUSY || performance.now() >= deadline) {
      throw failure;
    }
    await delay(busyRetryMs);
  }
}

/**
 * A pipe of another user's could be a trap that waits for our token. The owner of the pipe decides: nobody without
 * the right to restore backups can make one that belongs to us. The server's process is asked as well, where we may.
 * Closes the handle when it throws.
 * @throws SystemCallError
 */
function assertServerIs(user: string, handle: Handle): void {
  try {
    const owners = [ownerOf(handle, 'kernel object'), serverUser(handle)];
    const stranger = owners.find((owner) => owner !== undefined && owner !== user);
    if (stranger !== undefined) {
      throw new ForeignListenerError(`the pipe belongs to ${stranger}, not to ${user}`);
    }
  } catch (error) {
    kernel32.CloseHandle(handle);
    throw error;
  }
}

function serverUser(handle: Handle): string | undefined {
  const pid: Out<number> = [0];
  if (!kernel32.GetNamedPipeServerProcessId(handle, pid)) {
    return undefined;
  }
  const process = kernel32.OpenProcess(kernel32.PROCESS_QUERY_LIMITED_INFORMATION, 0, pid[0]);
  if (process === null) {
    return undefined;
  }
  try {
    return userOf(process);
  } catch {
    return undefined;
  } finally {
    kernel32.CloseHandle(process);
  }
}
