/** Children: three real pipes, a session and process group of their own (spec process.md §11). */
import { closeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { Child, Processes, SpawnRequest } from '../processes.ts';
import { wholeEnvironment } from '../started-with.ts';
import { atOnce } from '../steps.ts';
import { PosixChild, type StartedChild } from './child.ts';
import { type ChildEnds, closeOurs, closeTheirs, type OpenedStreams, openStreams } from './child-streams.ts';
import { openNullDevice } from './descriptors.ts';
import { listenForExits } from './exits.ts';
import type { Identities } from './identity.ts';
import { isLongStart, launch, launchAmongMany } from './launch.ts';
import { planMarkedStart } from './marked-start.ts';
import { checkProgram, checkSpawn } from './program.ts';

export function createProcesses(identities: Identities, paths: Paths): Processes {
  return {
    signalsAsk: true,
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
      let started: Started | Promise<Started>;
      try {
        started = startAmongMany(request, attempt.file, attempt.theirs, paths);
      } catch (error) {
        throw attempt.failed(error);
      }
      if (!(started instanceof Promise)) {
        return attempt.succeeded(started);
      }
      return started.then(
        (known) => attempt.succeeded(known),
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
  /** The clock before the start. */
  readonly #before: number | undefined;

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
    this.#before = identities.startNow();
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
    const start = this.#identities.startSince(this.#before, pid);
    closeTheirs(this.#streams.theirs);
    return new PosixChild({ pid, start, marks, ours: this.#streams.ours }, this.#identities, this.#request);
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
  const { command, args, env, lastVariable, cwd, markedFor } = request;
  const argv = [command, ...args];
  if (markedFor === undefined) {
    return { pid: launch({ file, argv, env, lastVariable, cwd, descriptors }), marks: undefined };
  }
  const { plain, throughShell } = atOnce(
    planMarkedStart({ ...request, env: wholeEnvironment(request), markedFor }, file),
  );
  if (throughShell !== undefined) {
    let nothing: number | undefined;
    try {
      nothing = openNullDevice(paths);
      return {
        pid: launch({ ...throughShell, cwd, descriptors: besideNothing(descriptors, nothing) }),
        marks: throughShell.marks,
      };
    } catch {
      // The script's words may have been the few too many (E2BIG): the kernel is to say what it thinks of the program alone.
    } finally {
      closeIfOpen(nothing);
    }
  }
  return { pid: launch({ file, argv, env: plain.env, cwd, descriptors }), marks: plain.marks };
}

/** The same for `spawnAmongMany`. A marked child is started at once unless its words are many. */
function startAmongMany(
  request: SpawnRequest,
  file: string,
  descriptors: ChildEnds,
  paths: Paths,
): Started | Promise<Started> {
  const { command, args, env, lastVariable, cwd, markedFor } = request;
  if (markedFor !== undefined) {
    return isLongStart(args.length + env.length)
      ? startMarkedInParts({ ...request, env: wholeEnvironment(request), markedFor }, file, descriptors, paths)
      : start(request, file, descriptors, paths);
  }
  const launched = launchAmongMany({ file, argv: [command, ...args], env, lastVariable, cwd, descriptors });
  return typeof launched === 'number'
    ? { pid: launched, marks: undefined }
    : launched.then((pid) => ({ pid, marks: undefined }));
}

/** Others get a turn between the parts. */
async function startMarkedInParts(
  request: SpawnRequest & { readonly markedFor: string },
  file: string,
  descriptors: ChildEnds,
  paths: Paths,
): Promise<Started> {
  const { command, args, cwd } = request;
  await nextTurn();
  const planning = planMarkedStart(request, file);
  let plan = planning.next();
  for (; plan.done !== true; plan = planning.next()) {
    await nextTurn();
  }
  const { plain, throughShell } = plan.value;
  await nextTurn();
  if (throughShell !== undefined) {
    let nothing: number | undefined;
    try {
      nothing = openNullDevice(paths);
      const pid = await launchAmongMany({ ...throughShell, cwd, descriptors: besideNothing(descriptors, nothing) });
      return { pid, marks: throughShell.marks };
    } catch {
      // As above.
    } finally {
      closeIfOpen(nothing);
    }
    await nextTurn();
  }
  const pid = await launchAmongMany({ file, argv: [command, ...args], env: plain.env, cwd, descriptors });
  return { pid, marks: plain.marks };
}

/** The shell's own errors go nowhere, and it finds the child's as descriptor 3. */
function besideNothing([input, output, errors]: ChildEnds, nothing: number): readonly number[] {
  return [input, output, nothing, errors];
}

function closeIfOpen(descriptor: number | undefined): void {
  if (descriptor !== undefined) {
    closeSync(descriptor);
  }
}
