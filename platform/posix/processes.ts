/** Children: three real pipes, a session and process group of their own (spec process.md §11). */
import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Marks } from '../child-markers.ts';
import { SystemCallError } from '../errors.ts';
import type {
  Child,
  ExitStatus,
  OutputName,
  Paths,
  Processes,
  SignalName,
  SignalReach,
  SpawnRequest,
} from '../platform.ts';
import { collectExit, listenForExits, watchExit } from './exits.ts';
import type { Identities } from './identity.ts';
import { planMarkedStart } from './marked-start.ts';
import { checkProgram, checkSpawn } from './program.ts';
import { launch, openPipes } from './spawn.ts';

export function createProcesses(identities: Identities, paths: Paths): Processes {
  return {
    identify: identities.identify,
    commandLine: identities.commandLine,
    signalIfSame: identities.signalIfSame,
    self: identities.self,
    check(request) {
      checkProgram(checkSpawn(request, paths), request, paths);
    },
    spawn(request) {
      const file = checkSpawn(request, paths);
      listenForExits();
      const fail = (error: unknown): SystemCallError =>
        new SystemCallError(
          `fork/exec ${request.command}: ${paths.reason(error)}`,
          (error as NodeJS.ErrnoException).code ?? '',
          { cause: error },
        );
      let streams: StandardStreams;
      try {
        streams = request.streams === 'nullDevice' ? openNullDevice() : openThreePipes();
      } catch (error) {
        throw fail(error);
      }
      const { ours, theirs } = streams;
      try {
        const { pid, marks } = start(request, file, theirs);
        // Read before anything can collect the child, so even one that ended at once has its start time.
        const startTime = identities.startSeconds(pid);
        return new PosixChild(pid, startTime, request, marks, ours);
      } catch (error) {
        if (ours !== undefined) for (const fd of [ours.input, ours.stdout, ours.stderr]) closeSync(fd);
        throw fail(error);
      } finally {
        for (const fd of new Set(theirs)) closeSync(fd);
      }
    },
  };
}

interface Started {
  readonly pid: number;
  /** Of a child that was to be marked. */
  readonly marks: Marks | undefined;
}

/** @throws an Error whose `code` is the errno's name */
function start(request: SpawnRequest, file: string, descriptors: readonly number[]): Started {
  const { command, args, cwd, markedFor } = request;
  const argv = [command, ...args];
  if (markedFor === undefined) {
    return { pid: launch({ file, argv, env: request.env, cwd, descriptors }), marks: undefined };
  }
  const { plain, throughShell } = planMarkedStart({ ...request, markedFor }, file);
  if (throughShell !== undefined) {
    const [input, output, errors] = descriptors;
    const nothing = openSync('/dev/null', 'w');
    try {
      const pid = launch({ ...throughShell, cwd, descriptors: [input, output, nothing, errors] });
      return { pid, marks: throughShell.marks };
    } catch {
      // The script's words may have been the few too many (E2BIG): the kernel is to say what it thinks of the program alone.
    } finally {
      closeSync(nothing);
    }
  }
  return { pid: launch({ file, argv, env: plain.env, cwd, descriptors }), marks: plain.marks };
}

interface Ends {
  readonly input: number;
  readonly stdout: number;
  readonly stderr: number;
}

interface StandardStreams {
  /** `undefined` for the null device: there is nothing to write to or to read. */
  readonly ours: Ends | undefined;
  /** The child's descriptors 0, 1 and 2; one may stand for several. */
  readonly theirs: readonly number[];
}

function openThreePipes(): StandardStreams {
  const [input, output, errors] = openPipes(3);
  return {
    ours: { input: input.writeEnd, stdout: output.readEnd, stderr: errors.readEnd },
    theirs: [input.readEnd, output.writeEnd, errors.writeEnd],
  };
}

function openNullDevice(): StandardStreams {
  const fd = openSync('/dev/null', 'r+');
  return { ours: undefined, theirs: [fd, fd, fd] };
}

/**
 * One read buffer for all children of a size: libuv reads and calls back within one call, so two reads never meet in it,
 * and a thousand idle sessions cost no buffer each.
 */
const readBuffers = new Map<number, Buffer>();

function readBuffer(bytes: number): Buffer {
  let buffer = readBuffers.get(bytes);
  if (buffer === undefined) {
    buffer = Buffer.allocUnsafeSlow(bytes);
    readBuffers.set(bytes, buffer);
  }
  return buffer;
}

function openInput(fd: number): Socket {
  const socket = new Socket({ fd, readable: false, writable: true });
  // A child that closes its end or is gone: the bytes are dropped, as the contract has it.
  socket.on('error', () => socket.destroy());
  return socket;
}

class PosixChild implements Child {
  readonly pid: number;
  readonly startTime: number;
  readonly marks: Marks | undefined;
  /** Our end of standard input until something is written: a socket is made then, and many children never need one. */
  #unusedInput: number | undefined;
  #input: Socket | undefined;
  readonly #outputs: Readonly<Record<OutputName, Socket>> | undefined;
  #status: ExitStatus | undefined;

  constructor(pid: number, startTime: number, request: SpawnRequest, marks: Marks | undefined, ends: Ends | undefined) {
    this.pid = pid;
    this.startTime = startTime;
    this.marks = marks;
    if (ends !== undefined) {
      this.#unusedInput = ends.input;
      this.#outputs = {
        stdout: this.#openOutput('stdout', ends.stdout, request),
        stderr: this.#openOutput('stderr', ends.stderr, request),
      };
    }
    watchExit(pid, request.onEnd);
  }

  #openOutput(name: OutputName, fd: number, request: SpawnRequest): Socket {
    const buffer = request.readBuffer ?? readBuffer(request.maxChunkBytes);
    const socket = new Socket({
      fd,
      readable: true,
      writable: false,
      onread: {
        buffer,
        callback: (length) => request.onOutput(name, buffer.subarray(0, length)),
      },
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => request.onOutputEnd(name));
    return socket;
  }

  writeInput(bytes: Buffer, done: () => void): void {
    if (this.#unusedInput !== undefined) {
      this.#input = openInput(this.#unusedInput);
      this.#unusedInput = undefined;
    }
    if (this.#input === undefined || this.#input.destroyed) setImmediate(done);
    else this.#input.write(bytes, () => done());
  }

  closeInput(): void {
    this.#input?.destroy();
    if (this.#unusedInput === undefined) return;
    closeSync(this.#unusedInput);
    this.#unusedInput = undefined;
  }

  resume(stream: OutputName): void {
    this.#outputs?.[stream].resume();
  }

  closeOutput(): void {
    this.#outputs?.stdout.destroy();
    this.#outputs?.stderr.destroy();
  }

  signal(name: SignalName, reach: SignalReach): string | undefined {
    if (this.#status !== undefined) return undefined;
    try {
      process.kill(reach === 'tree' ? -this.pid : this.pid, `SIG${name}`);
      return undefined;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // EPERM: macOS says so for a group of zombies.
      return code === 'ESRCH' || code === 'EPERM' ? undefined : `kill: ${code}`;
    }
  }

  collect(): ExitStatus {
    this.#status ??= collectExit(this.pid) ?? { code: -1, signal: undefined };
    return this.#status;
  }
}
