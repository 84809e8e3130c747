/** A variable as the user's login shell has it (spec platform.md §2 "Login-shell PATH"). */
import { accessSync, closeSync, constants, openSync, statSync } from 'node:fs';
import { Socket } from 'node:net';
import { HostError } from '../errors.ts';
import { collectExit, listenForExits, watchExit } from './exits.ts';
import { launch, openPipe } from './spawn.ts';

const fallbackShells = ['/bin/zsh', '/bin/bash', '/bin/sh'];
const maxOutputBytes = 1 << 20;
/** Login scripts print what they like; the value stands between two of these. */
const mark = '__HOLDFAST_VALUE__';

export interface LoginShellOptions {
  /** Of the variable. */
  readonly name: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** @throws HostError whose message is the reason for the log */
export async function loginShellVariable(options: LoginShellOptions): Promise<string | undefined> {
  const shell = userShell();
  if (shell === undefined) {
    return undefined;
  }
  const { name } = options;
  let output: string;
  try {
    output = await run(shell, ['-l', '-i', '-c', `printf '%s%s%s' ${mark} "$${name}" ${mark}`], options);
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
  const candidates = process.env.SHELL ? [process.env.SHELL, ...fallbackShells] : fallbackShells;
  return candidates.find(isExecutableFile);
}

function isExecutableFile(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

class TimeLimit extends Error {}

/** Runs the shell in a group of its own; at the limit the whole group goes, also when only a grandchild holds the pipe. */
function run(shell: string, args: readonly string[], { timeoutMs, signal }: LoginShellOptions): Promise<string> {
  listenForExits();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const nothing = openSync('/dev/null', constants.O_RDWR);
  const { readEnd, writeEnd } = openPipe();
  let pid: number;
  try {
    pid = launch({
      file: shell,
      argv: [shell, ...args],
      env: shellEnvironment(shell),
      cwd: undefined,
      descriptors: [nothing, writeEnd, nothing],
    });
  } catch (error) {
    closeSync(readEnd);
    throw error;
  } finally {
    closeSync(nothing);
    closeSync(writeEnd);
  }

  const chunks: Buffer[] = [];
  let bytes = 0;
  let ended = false;
  const output = new Socket({ fd: readEnd, readable: true, writable: false });
  const stop = (outcome: () => void) => {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    output.destroy();
    // The zombie is collected last, so the group's number cannot belong to anybody else here.
    killGroup(pid);
    if (ended) {
      collectExit(pid);
    }
    outcome();
  };
  const timer = setTimeout(() => stop(() => reject(new TimeLimit())), timeoutMs);
  const abort = () => stop(() => reject(new Error('the daemon is ending')));
  signal.addEventListener('abort', abort, { once: true });
  watchExit(pid, () => {
    ended = true;
    if (output.destroyed) {
      collectExit(pid);
    }
  });
  output.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxOutputBytes) {
      stop(() => reject(new Error(`more than ${maxOutputBytes} bytes of output`)));
    } else {
      chunks.push(chunk);
    }
  });
  output.on('error', () => output.destroy());
  output.on('end', () => stop(() => resolve(Buffer.concat(chunks).toString('utf8'))));
  return promise;
}

/** Nothing else: a login shell builds its PATH from scratch (spec platform.md §2). */
function shellEnvironment(shell: string): [string, string][] {
  const inherited = (name: string): string => process.env[name] ?? '';
  return [
    ['DISABLE_AUTO_UPDATE', 'true'],
    ['HOME', inherited('HOME')],
    ['PATH', inherited('PATH')],
    ['SHELL', process.env.SHELL ?? shell],
    ['TERM', inherited('TERM')],
    ['USER', inherited('USER')],
    ['ZSH_DISABLE_COMPFIX', 'true'],
  ];
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody left in it.
  }
}
