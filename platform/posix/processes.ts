/** Children: three real pipes, a session and process group of their own (spec process.md §11). */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { ChildMarks } from '../child-markers.ts';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { Child, ExitStatus, OutputName, Processes, SignalName, SignalReach, SpawnRequest } from '../processes.ts';
import { openNullDevice } from './descriptors.ts';
import { collectExit, listenForExits, watchExit } from './exits.ts';
import type { Identities } from './identity.ts';
import { planMarkedStart } from './marked-start.ts';
import { checkProgram, checkSpawn } from './program.ts';
import { launch, launchAmongMany, openPipes } from './spawn.ts';

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
      const attempt = new Attempt(request, identities, paths);
      return attempt.finish(() => start(request, attempt.file, attempt.theirs, paths));
    },
    spawnAmongMany(request) {
      const attempt = new Attempt(request, identities, paths);
      const { file, theirs } = attempt;
      if (request.markedFor !== undefined) {
        return attempt.finish(() => start(request, file, theirs, paths));
      }
      const { command, args, env, cwd } = request;
      let launched: number | Promise<number>;
      try {
        launched = launchAmongMany({ file, argv: [command, ...args], env, cwd, descriptors: theirs });
      } catch (error) {
        throw attempt.failed(error);
      }
      if (typeof launched === 'number') {
        return attempt.succeeded({ pid: launched, marks: undefined });
      }
      return launched.then(
        (pid) => attempt.succeeded({ pid, marks: undefined }),
        (error) => {
          throw attempt.failed(error);
        },
      );
    },
  };
}

/** One start: the pipes are open and there is no process yet. It ends by `succeeded` or `failed`, once. */
class Attempt {
  readonly file: string;
  readonly #request: SpawnRequest;
  readonly #identities: Identities;
  readonly #paths: Paths;
  readonly #streams: StandardStreams;

  /** @throws SystemCallError with the contract's text */
  constructor(request: SpawnRequest, identities: Identities, paths: Paths) {
    this.file = checkSpawn(request, paths);
    this.#request = request;
    this.#identities = identities;
    this.#paths = paths;
    listenForExits();
    try {
      this.#streams = request.streams === 'nullDevice' ? openNothing(paths) : openThreePipes();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** The child's descriptors, in their order. */
  get theirs(): readonly number[] {
    return this.#streams.theirs;
  }

  finish(launch: () => Started): Child {
    let started: Started;
    try {
      started = launch();
    } catch (error) {
      throw this.failed(error);
    }
    return this.succeeded(started);
  }

  succeeded({ pid, marks }: Started): Child {
    this.#closeTheirs();
    return new PosixChild(pid, this.#identities, this.#request, marks, this.#streams.ours);
  }

  /** Closes all pipes. @returns what to throw */
  failed(error: unknown): SystemCallError {
    const { ours } = this.#streams;
    if (ours !== undefined) {
      for (const fd of [ours.input, ours.stdout, ours.stderr]) {
        closeSync(fd);
      }
    }
    this.#closeTheirs();
    return this.#failure(error);
  }

  #closeTheirs(): void {
    for (const fd of new Set(this.#streams.theirs)) {
      closeSync(fd);
    }
  }

  #failure(error: unknown): SystemCallError {
    return new SystemCallError(
      `fork/exec ${this.#request.command}: ${this.#paths.reason(error)}`,
      (error as NodeJS.ErrnoException).code ?? '',
      { cause: error },
    );
  }
}

interface Started {
  readonly pid: number;
  /** Of a child that was to be marked. */
  readonly marks: ChildMarks | undefined;
}

/** @throws an Error whose `code` is the errno's name */
function start(request: SpawnRequest, file: string, descriptors: readonly number[], paths: Paths): Started {
  const { command, args, cwd, markedFor } = request;
  const argv = [command, ...args];
  if (markedFor === undefined) {
    return { pid: launch({ file, argv, env: request.env, cwd, descriptors }), marks: undefined };
  }
  const { plain, throughShell } = planMarkedStart({ ...request, markedFor }, file);
  if (throughShell !== undefined) {
    const [input, output, errors] = descriptors;
    let nothing: number | undefined;
    try {
      nothing = openNullDevice(paths);
      const pid = launch({ ...throughShell, cwd, descriptors: [input, output, nothing, errors] });
      return { pid, marks: throughShell.marks };
    } catch {
      // The script's words may have been the few too many (E2BIG): the kernel is to say what it thinks of the program alone.
    } finally {
      if (nothing !== undefined) {
        closeSync(nothing);
      }
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

function openNothing(paths: Paths): StandardStreams {
  const fd = openNullDevice(paths);
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
  readonly marks: ChildMarks | undefined;
  readonly #identities: Identities;
  #startTime: number | undefined;
  /** Our end of standard input until something is written: a socket is made then, and many children never need one. */
  #unusedInput: number | undefined;
  #input: Socket | undefined;
  /** Those that are open: an ended process is kept for its replay, its sockets need not be. */
  readonly #outputs: Partial<Record<OutputName, Socket>> = {};
  #status: ExitStatus | undefined;

  constructor(
    pid: number,
    identities: Identities,
    request: SpawnRequest,
    marks: ChildMarks | undefined,
    ends: Ends | undefined,
  ) {
    this.pid = pid;
    this.#identities = identities;
    this.marks = marks;
    if (ends !== undefined) {
      this.#unusedInput = ends.input;
      this.#openOutput('stdout', ends.stdout, request);
      this.#openOutput('stderr', ends.stderr, request);
    }
    watchExit(pid, request.onEnd);
  }

  /**
   * Read when first asked for, at the latest before the child is collected: until then the pid is its own. Right after the
   * start the kernel would have us wait for the end of `execve`.
   */
  get startTime(): number {
    this.#startTime ??= this.#identities.startSeconds(this.pid);
    return this.#startTime;
  }

  #openOutput(name: OutputName, fd: number, request: SpawnRequest): void {
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
    socket.on('close', () => {
      delete this.#outputs[name];
      request.onOutputEnd(name);
    });
    this.#outputs[name] = socket;
  }

  writeInput(bytes: Buffer, done: () => void): void {
    if (this.#unusedInput !== undefined) {
      this.#input = openInput(this.#unusedInput);
      this.#unusedInput = undefined;
    }
    if (this.#input === undefined || this.#input.destroyed) {
      setImmediate(done);
    } else {
      this.#input.write(bytes, () => done());
    }
  }

  closeInput(): void {
    this.#input?.destroy();
    if (this.#unusedInput === undefined) {
      return;
    }
    closeSync(this.#unusedInput);
    this.#unusedInput = undefined;
  }

  resume(stream: OutputName): void {
    this.#outputs[stream]?.resume();
  }

  closeOutput(): void {
    this.#outputs.stdout?.destroy();
    this.#outputs.stderr?.destroy();
  }

  signal(name: SignalName, reach: SignalReach): string | undefined {
    if (this.#status !== undefined) {
      return undefined;
    }
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
    if (this.#status === undefined) {
      void this.startTime;
      this.#status = collectExit(this.pid) ?? { code: -1, signal: undefined };
    }
    return this.#status;
  }
}
