/** Children: three real pipes, a session and process group of their own (spec process.md §11). */
import { closeSync } from 'node:fs';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { Child, Processes, SpawnRequest } from '../processes.ts';
import { PosixChild, type StartedChild } from './child.ts';
import { type ChildEnds, closeOurs, closeTheirs, type OpenedStreams, openStreams } from './child-streams.ts';
import { openNullDevice } from './descriptors.ts';
import { listenForExits } from './exits.ts';
import type { Identities } from './identity.ts';
import { launch, launchAmongMany } from './launch.ts';
import { planMarkedStart } from './marked-start.ts';
import { checkProgram, checkSpawn } from './program.ts';

export function createProcesses(identities: Identities, paths: Paths): Processes {
  return {
    identify: identities.identify,
    startSeconds: identities.startSeconds,
    commandLine: identities.commandLine,
    signalIfSame: identities.signalIfSame,
    self: identities.self,
    ownStartSeconds: identities.ownStartSeconds,
    check({ command, cwd }, program) {
      checkProgram(checkSpawn({ command, cwd, args: [], env: [] }, paths), command, program, paths);
    },
    spawn(request) {
      const attempt = new SpawnAttempt(request, identities, paths);
      return attempt.finish(() => start(request, attempt.file, attempt.theirs, paths));
    },
    spawnAmongMany(request) {
      const attempt = new SpawnAttempt(request, identities, paths);
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
class SpawnAttempt {
  readonly file: string;
  readonly #request: SpawnRequest;
  readonly #identities: Identities;
  readonly #paths: Paths;
  readonly #streams: OpenedStreams;

  /** @throws SystemCallError with the contract's text */
  constructor(request: SpawnRequest, identities: Identities, paths: Paths) {
    this.file = checkSpawn(request, paths);
    this.#request = request;
    this.#identities = identities;
    this.#paths = paths;
    listenForExits();
    try {
      this.#streams = openStreams(request, paths);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** The child's descriptors, in their order. */
  get theirs(): ChildEnds {
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
    closeTheirs(this.#streams.theirs);
    return new PosixChild({ pid, marks, ours: this.#streams.ours }, this.#identities, this.#request);
  }

  /** Closes all pipes. @returns what to throw */
  failed(error: unknown): SystemCallError {
    closeOurs(this.#streams.ours);
    closeTheirs(this.#streams.theirs);
    return this.#failure(error);
  }

  #failure(error: unknown): SystemCallError {
    return new SystemCallError(
      `fork/exec ${this.#request.command}: ${this.#paths.reason(error)}`,
      (error as NodeJS.ErrnoException).code ?? '',
      { cause: error },
    );
  }
}

type Started = Pick<StartedChild, 'pid' | 'marks'>;

/** @throws an Error whose `code` is the errno's name */
function start(request: SpawnRequest, file: string, descriptors: ChildEnds, paths: Paths): Started {
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
