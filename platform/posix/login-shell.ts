/** A variable as the user's login shell has it (spec platform.md §2 "Login-shell PATH"). */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { isExecutableFile } from '../common/executable-file.ts';
import { HostError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { rawPath, rawText } from '../raw-text.ts';
import type { Variable } from '../started-with.ts';
import { openNullDevice } from './descriptors.ts';
import { collectExit, listenForExits, watchExit } from './exits.ts';
import { launch } from './launch.ts';
import { openPipe, type Pipe } from './pipes.ts';
import { ownVariable } from './started-with.ts';

const fallbackShells = ['/bin/zsh', '/bin/bash', '/bin/sh'];
const maxOutputBytes = 1 << 20;
/** From TERM to KILL (spec platform.md §2). */
const killAfterMs = 500;
const pollMs = 10;
/** Login scripts print what they like; the value stands between two of these. */
const mark = '__HOLDFAST_VALUE__';

export interface LoginShellOptions {
  /** Of the variable. */
  readonly name: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** @throws HostError whose message is the reason for the log */
export async function loginShellVariable(options: LoginShellOptions, paths: Paths): Promise<string | undefined> {
  const shell = userShell();
  if (shell === undefined) {
    return undefined;
  }
  const { name } = options;
  let output: string;
  try {
    output = await run(shell, ['-l', '-i', '-c', `printf '%s%s%s' ${mark} "$${name}" ${mark}`], options, paths);
  } catch (error) {
    if (error instanceof TimeLimit) {
      throw new HostError(`shell ${name} extraction timed out (${shell})`);
    }
    throw new HostError(`${shell}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const start = output.indexOf(mark);
  const end = output.indexOf(mark, start + mark.length);
  if (start < 0 || end < 0) {
    throw new HostError(`${shell} did not print its ${name}`);
  }
  return output.slice(start + mark.length, end);
}

function userShell(): string | undefined {
  const own = ownVariable('SHELL') ?? '';
  const candidates = own === '' ? fallbackShells : [own, ...fallbackShells];
  return candidates.find((path) => isExecutableFile(rawPath(path)));
}

class TimeLimit extends Error {}

/** Runs the shell in a group of its own; at the limit the whole group goes, also when only a grandchild holds the pipe. */
function run(
  shell: string,
  args: readonly string[],
  { timeoutMs, signal }: LoginShellOptions,
  paths: Paths,
): Promise<string> {
  if (signal.aborted) {
    throw new Error('the daemon is ending');
  }
  const { group, readEnd } = startShell(shell, args, paths);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const output = new Socket({ fd: readEnd, readable: true, writable: false });
  const stop = (outcome: () => void) => {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    output.destroy();
    const end = group.end().finally(() => groupsThatEnd.delete(end));
    groupsThatEnd.add(end);
    outcome();
  };
  const timer = setTimeout(() => stop(() => reject(new TimeLimit())), timeoutMs);
  const abort = () => stop(() => reject(new Error('the daemon is ending')));
  signal.addEventListener('abort', abort, { once: true });
  output.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxOutputBytes) {
      stop(() => reject(new Error(`more than ${maxOutputBytes} bytes of output`)));
    } else {
      chunks.push(chunk);
    }
  });
  output.on('error', () => output.destroy());
  output.on('end', () => stop(() => resolve(rawText(Buffer.concat(chunks)))));
  return promise;
}

function startShell(
  shell: string,
  args: readonly string[],
  paths: Paths,
): { readonly group: ShellGroup; readonly readEnd: number } {
  listenForExits();
  const nothing = openNullDevice(paths);
  let pipe: Pipe | undefined;
  try {
    pipe = openPipe();
    const pid = launch({
      file: shell,
      argv: [shell, ...args],
      env: shellEnvironment(shell),
      cwd: undefined,
      descriptors: [nothing, pipe.writeEnd, nothing],
    });
    return { group: new ShellGroup(pid), readEnd: pipe.readEnd };
  } catch (error) {
    if (pipe !== undefined) {
      closeSync(pipe.readEnd);
    }
    throw error;
  } finally {
    closeSync(nothing);
    if (pipe !== undefined) {
      closeSync(pipe.writeEnd);
    }
  }
}

const groupsThatEnd = new Set<Promise<void>>();

/** Resolves when every shell that was told to end has gone or was sent KILL. A daemon waits for it before it exits. */
export async function loginShellsEnded(): Promise<void> {
  await Promise.all(groupsThatEnd);
}

/** A login shell and what its start-up files have started: one process group, whose number is the pid of the shell. */
class ShellGroup {
  readonly #pid: number;
  #leader: 'runs' | 'ended' | 'collected' = 'runs';
  #killed = false;

  constructor(pid: number) {
    this.#pid = pid;
    watchExit(pid, () => {
      this.#leader = 'ended';
      if (this.#killed) {
        this.#collect();
      }
    });
  }

  /** TERM, which lets exit traps remove the locks of start-up files, and KILL for whoever is left after that. */
  async end(): Promise<void> {
    signalAll(-this.#pid, 'SIGTERM');
    for (const killAt = performance.now() + killAfterMs; performance.now() < killAt; ) {
      this.#collect();
      if (this.#leader === 'collected' && !isThere(-this.#pid)) {
        return;
      }
      await delay(pollMs);
    }
    this.#killed = true;
    // A number is not given away while a group has it. Should a process have it now, the group was gone in between and
    // this is somebody else.
    if (this.#leader === 'collected' && isThere(this.#pid)) {
      return;
    }
    signalAll(-this.#pid, 'SIGKILL');
    this.#collect();
  }

  #collect(): void {
    if (this.#leader === 'ended') {
      this.#leader = 'collected';
      collectExit(this.#pid);
    }
  }
}

/** Nothing else: a login shell builds its PATH from scratch (spec platform.md §2). */
function shellEnvironment(shell: string): Variable[] {
  const inherited = (name: string): string => ownVariable(name) ?? '';
  return [
    ['DISABLE_AUTO_UPDATE', 'true'],
    ['HOME', inherited('HOME')],
    ['PATH', inherited('PATH')],
    ['SHELL', ownVariable('SHELL') ?? shell],
    ['TERM', inherited('TERM')],
    ['USER', inherited('USER')],
    ['ZSH_DISABLE_COMPFIX', 'true'],
  ];
}

/** @param target a pid, or a process group as a negative number */
function signalAll(target: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(target, signal);
  } catch {
    // Nobody left in it.
  }
}

function isThere(target: number): boolean {
  try {
    process.kill(target, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
