/** One daemon for each daemon folder: `daemon.pid` (spec mesh.md §3.2). */
import { closeSync, constants, fchmodSync, lstatSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Processes, ProcessIdentity } from '../../../platform/processes.ts';
import type { RunDirectory } from '../../../platform/run-directories.ts';
import type { Transport } from '../../../platform/transport.ts';
import { messageOf } from '../../base/error-texts.ts';
import { printable } from '../../base/printable.ts';
import { pidFileName, pipeName } from './folders.ts';
import { exitCodes, MeshRefusal } from './refusal.ts';

const longestPid = 32;
const answerMs = 1000;
/** Start times come in hundredths of a second, and file systems round as well. */
const clockGrainMs = 1000;

export interface LockPlace {
  readonly directory: RunDirectory;
  readonly socket: string;
  readonly processes: Pick<Processes, 'identify' | 'startSeconds'>;
  readonly transport: Pick<Transport, 'dial' | 'peerOf'>;
}

/** The process that `daemon.pid` names and that is a daemon of this folder; `undefined` when there is none. */
export async function runningDaemon(place: LockPlace): Promise<ProcessIdentity | undefined> {
  const { directory, processes } = place;
  const pid = pidIn(directory);
  // Containers number their processes anew at each start, so the file may well name us.
  if (pid === undefined || pid === process.pid) {
    return undefined;
  }
  const found = processes.identify(pid);
  const written = lstatSync(join(directory.path, pidFileName), { throwIfNoEntry: false })?.mtimeMs;
  if (found === undefined || written === undefined) {
    return undefined;
  }
  const startedMs = processes.startSeconds(pid) * 1000;
  if (startedMs <= written + clockGrainMs) {
    return found;
  }
  // It began after the file was written, so the number was given to another process. Or the clock was set: start times of
  // Linux move with it, and then the daemon answers.
  return (await listensAt(place)) === pid ? found : undefined;
}

function pidIn(directory: RunDirectory): number | undefined {
  const text = directory.readText(pidFileName, longestPid)?.trim() ?? '';
  const pid = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : 0;
  return pid > 0 ? pid : undefined;
}

/** The process that listens at the socket, where the system tells. */
async function listensAt({ transport, socket }: LockPlace): Promise<number | undefined> {
  try {
    const connection = await transport.dial(socket, { timeoutMs: answerMs, fixedName: pipeName });
    try {
      return transport.peerOf(connection)?.pid;
    } finally {
      connection.destroy();
    }
  } catch {
    return undefined;
  }
}

export interface SingletonLock {
  /** A pid file of a daemon that is gone was in the way. */
  readonly recovered: boolean;
  /** Removes the file while it holds our pid. */
  release(): void;
}

/** @throws MeshRefusal when another daemon runs, or the file cannot be made */
export function takeSingletonLock(place: LockPlace): Promise<SingletonLock> {
  const { directory } = place;
  const path = join(directory.path, pidFileName);
  return directory.exclusively(async () => {
    const running = await runningDaemon(place);
    if (running !== undefined) {
      throw new MeshRefusal(`daemon already running (pid ${running.pid})`, exitCodes.failed);
    }
    const recovered = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    try {
      if (recovered) {
        unlinkSync(path);
      }
      createPidFile(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Without turns in this folder (no such locks on its file system) another start may have been faster.
      const winner = code === 'EEXIST' ? pidIn(directory) : undefined;
      throw new MeshRefusal(
        winner === undefined
          ? `cannot take ${printable(path)}: ${printable(messageOf(error))}; remove what lies there`
          : `daemon already running (pid ${winner})`,
        exitCodes.failed,
        { cause: error },
      );
    }
    return { recovered, release: () => release(directory, path) };
  });
}

function createPidFile(path: string): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    // Whatever the umask says.
    fchmodSync(fd, 0o600);
    writeSync(fd, String(process.pid));
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(fd);
  }
}

function release(directory: RunDirectory, path: string): void {
  if (pidIn(directory) === process.pid) {
    unlinkSync(path);
  }
}
