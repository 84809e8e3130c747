/** Starting the daemon: without a console, outside our job where that is allowed (spec modes.md §6, platform.md §3). */
import type { Socket } from 'node:net';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import * as node from '../../native-bindings/node.ts';
import type { Out } from '../../native-bindings/out.ts';
import type { Detached, DetachRequest } from '../detach.ts';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { joinWords } from './command-line.ts';
import { openNullDevice, toSocket } from './handles.ts';
import { describeHandle } from './inherited-descriptor.ts';
import { type Launched, type LaunchRequest, launch } from './launch.ts';
import { openPipe } from './pipes.ts';
import { WindowsError } from './system-errors.ts';

/** See `Host.detach`. */
export function detach(request: DetachRequest, paths: Paths): Detached {
  /** Ends the child gets; ours to close in any case. */
  const theirs: Handle[] = [];
  const ours: Socket[] = [];
  const keep = (handle: Handle): Handle => {
    theirs.push(handle);
    return handle;
  };
  const failure = (error: unknown): SystemCallError =>
    new SystemCallError(
      `fork/exec ${request.file}: ${paths.reason(error)}`,
      (error as NodeJS.ErrnoException).code ?? '',
      { cause: error },
    );
  try {
    const env = [...request.env];
    const inherited: Handle[] = [];
    const pass = (variable: string, handle: Handle): void => {
      inherited.push(keep(handle));
      env.push([variable, describeHandle(handle)]);
    };
    const status = openPipe('to us');
    pass(request.statusVariable, status.theirs);
    const reader = toSocket(status.ours, { readable: true, writable: false });
    ours.push(reader);
    if (request.secret !== undefined) {
      const secret = openPipe('from us');
      pass(request.secretVariable, secret.theirs);
      ours.push(sendAndClose(secret.ours, request.secret));
    }
    const nothing = keep(openNullDevice());
    const started = launchAway(
      {
        file: request.file,
        commandLine: joinWords([request.file, ...request.args]),
        env,
        cwd: undefined,
        input: nothing,
        output: handleOf(request.logFd ?? 1) ?? nothing,
        errors: handleOf(request.logFd ?? 2) ?? nothing,
        inherited,
        jobs: [],
      },
      (error) => failure(error).message,
    );
    return new DetachedProcess(started, reader);
  } catch (error) {
    for (const socket of ours) {
      socket.destroy();
    }
    throw failure(error);
  } finally {
    for (const handle of theirs) {
      kernel32.CloseHandle(handle);
    }
  }
}

/** Small enough for the pipe's buffer, where the child finds it even if we have ended by then. */
function sendAndClose(handle: Handle, bytes: Buffer): Socket {
  const writer = toSocket(handle, { readable: false, writable: true });
  writer.on('error', () => writer.destroy());
  writer.write(bytes, () => writer.destroy());
  return writer;
}

/** `undefined` for a descriptor that leads nowhere, as in a program without a console. */
function handleOf(fd: number): Handle | undefined {
  const handle = node.uv_get_osfhandle(fd);
  // -2 is the C runtime's mark for "no stream attached".
  return handle === kernel32.INVALID_HANDLE_VALUE || handle === kernel32.INVALID_HANDLE_VALUE - 1n ? undefined : handle;
}

interface Away extends Launched {
  readonly notes: readonly string[];
}

/**
 * ssh services put each login into a job that ends with it. A job that allows no breakaway refuses the whole start; then
 * the daemon lives inside, and the user is told (fault 24 of docs/faults.md).
 * @throws WindowsError
 */
function launchAway(request: Omit<LaunchRequest, 'flags'>, describe: (error: unknown) => string): Away {
  // Not CREATE_NEW_PROCESS_GROUP: it makes the daemon ignore Ctrl+C, and every child of it.
  const flags = kernel32.DETACHED_PROCESS;
  try {
    const started = launch({ ...request, flags: flags | kernel32.CREATE_BREAKAWAY_FROM_JOB });
    return { ...started, notes: isInJob(started.process) ? [outerJobNote] : [] };
  } catch (error) {
    if (!(error instanceof WindowsError) || error.number !== kernel32.ERROR_ACCESS_DENIED) {
      throw error;
    }
    const note = `[daemon] detached spawn failed (${describe(error)}); retrying without breakaway`;
    return { ...launch({ ...request, flags }), notes: [note] };
  }
}

/** A job that lets go can lie inside one that does not: the start succeeds, and the daemon has left the inner one only. */
const outerJobNote =
  '[daemon] the daemon is still in a job of this login, which allows no breakaway, and may end with it; start it as a service (docs/windows.md)';

function isInJob(process: Handle): boolean {
  const result: Out<kernel32.Bool> = [0];
  return kernel32.IsProcessInJob(process, null, result) !== 0 && result[0] !== 0;
}

class DetachedProcess implements Detached {
  readonly pid: number;
  readonly notes: readonly string[];
  readonly status: Socket;
  #process: Handle | undefined;
  #exit: string | undefined;

  constructor(started: Away, status: Socket) {
    this.pid = started.pid;
    this.notes = started.notes;
    this.status = status;
    this.#process = started.process;
  }

  exitText(): string | undefined {
    if (this.#process !== undefined && kernel32.WaitForSingleObject(this.#process, 0) === kernel32.WAIT_OBJECT_0) {
      const code: Out<number> = [0];
      kernel32.GetExitCodeProcess(this.#process, code);
      this.#exit = exitText(code[0]);
      this.#closeProcess();
    }
    return this.#exit;
  }

  release(): void {
    this.status.destroy();
    this.#closeProcess();
  }

  #closeProcess(): void {
    if (this.#process !== undefined) {
      kernel32.CloseHandle(this.#process);
    }
    this.#process = undefined;
  }
}

/** As Go prints it: small codes in decimal, NTSTATUS values in hexadecimal. */
function exitText(code: number): string {
  return `exit status ${code < 0x1_0000 ? code : `0x${code.toString(16)}`}`;
}
