/**
 * `posix_spawn` and what belongs to it. Not `child_process`: that forks, which stops the event loop for the copy of the
 * page tables, and gives the child socket pairs instead of pipes (design decision 5).
 */
import { closeSync } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import { errnoName } from './paths.ts';

export interface LaunchRequest {
  /** Path of the program; never searched for. */
  readonly file: string;
  readonly argv: readonly string[];
  readonly env: ReadonlyArray<readonly [name: string, value: string]>;
  readonly cwd: string | undefined;
  /** Our descriptor for each descriptor of the child, from 0 on; nothing else is inherited. */
  readonly descriptors: readonly number[];
}

/**
 * Starts a program as leader of a new session and process group, with default signal dispositions and an empty mask.
 * @returns the pid
 * @throws an Error whose `code` is the errno's name
 */
export function launch(request: LaunchRequest): number {
  const { cwd } = request;
  const changeDirectory = libc.posix_spawn_file_actions_addchdir_np;
  if (cwd !== undefined && changeDirectory === undefined) {
    return inDirectory(cwd, () => launch({ ...request, cwd: undefined }));
  }
  const actions = Buffer.alloc(libc.FILE_ACTIONS_BYTES);
  libc.posix_spawn_file_actions_init(actions);
  try {
    // The directory first: a relative program path is meant from there (spec process.md §3.3).
    if (cwd !== undefined) changeDirectory?.(actions, cwd);
    request.descriptors.forEach((ours, theirs) => {
      libc.posix_spawn_file_actions_adddup2(actions, ours, theirs);
    });
    const pid = new Int32Array(1);
    const failure = libc.posix_spawn(
      pid,
      request.file,
      actions,
      sharedAttributes(),
      [...request.argv, null],
      [...request.env.map(([name, value]) => `${name}=${value}`), null],
    );
    if (failure !== 0) {
      const code = errnoName(failure);
      throw Object.assign(new Error(`posix_spawn ${request.file}: ${code}`), { code });
    }
    return pid[0];
  } finally {
    libc.posix_spawn_file_actions_destroy(actions);
  }
}

/** What this system's `posix_spawn` lacks and what we do instead, for the log; `undefined`: nothing. */
export function spawnShortcoming(): string | undefined {
  if (libc.posix_spawn_file_actions_addchdir_np !== undefined) return undefined;
  return 'this C library has no posix_spawn_file_actions_addchdir_np; the daemon enters the directory of a child for the moment of its start';
}

/** Nothing else of ours runs between the two steps: the call in between does not return to the event loop. */
function inDirectory<T>(path: string, work: () => T): T {
  const own = process.cwd();
  process.chdir(path);
  try {
    return work();
  } finally {
    process.chdir(own);
  }
}

let attributes: Buffer | undefined;

/** Immutable once made, so one set serves every spawn. */
function sharedAttributes(): Buffer {
  if (attributes !== undefined) return attributes;
  attributes = Buffer.alloc(libc.SPAWN_ATTRIBUTES_BYTES);
  libc.posix_spawnattr_init(attributes);
  libc.posix_spawnattr_setflags(
    attributes,
    libc.POSIX_SPAWN_SETSID |
      libc.POSIX_SPAWN_SETSIGDEF |
      libc.POSIX_SPAWN_SETSIGMASK |
      libc.POSIX_SPAWN_CLOEXEC_DEFAULT,
  );
  const defaults = Buffer.alloc(libc.SIGSET_BYTES);
  libc.sigemptyset(defaults);
  for (const signal of libc.SIGNALS_SOMEBODY_MAY_IGNORE) libc.sigaddset(defaults, signal);
  libc.posix_spawnattr_setsigdefault(attributes, defaults);
  const none = Buffer.alloc(libc.SIGSET_BYTES);
  libc.sigemptyset(none);
  libc.posix_spawnattr_setsigmask(attributes, none);
  return attributes;
}

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** A pipe no child inherits by accident. @throws an Error whose `code` is the errno's name */
export function openPipe(): Pipe {
  const ends = new Int32Array(2);
  const failed = libc.pipe2 === undefined ? libc.pipe(ends) : libc.pipe2(ends, libc.O_CLOEXEC);
  if (failed !== 0) {
    const code = errnoName(libc.errno());
    throw Object.assign(new Error(`pipe: ${code}`), { code });
  }
  if (libc.pipe2 === undefined) for (const end of ends) libc.fcntl(end, libc.F_SETFD, libc.FD_CLOEXEC);
  return { readEnd: ends[0], writeEnd: ends[1] };
}

/** Opens several pipes, or none. */
export function openPipes(count: number): Pipe[] {
  const pipes: Pipe[] = [];
  try {
    while (pipes.length < count) pipes.push(openPipe());
    return pipes;
  } catch (error) {
    for (const { readEnd, writeEnd } of pipes) {
      closeSync(readEnd);
      closeSync(writeEnd);
    }
    throw error;
  }
}
