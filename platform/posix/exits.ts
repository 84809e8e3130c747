/**
 * Tells when children of ours end, without taking their exit status: until `collect`, the zombie keeps the pid ours, so
 * that a group kill cannot hit a stranger (spec process.md §11.6). Only known pids are asked for: libuv has children too.
 */
import { constants } from 'node:os';
import * as libc from '../../native-bindings/libc.ts';
import type { Out } from '../../native-bindings/out.ts';
import type { ExitStatus } from '../processes.ts';
import { tellSilent } from './silent-pipes.ts';

const watched = new Map<number, () => void>();
const information = Buffer.alloc(libc.SIGINFO_BYTES);
let listening = false;

/** Call before the child is started, so that its SIGCHLD cannot be missed. */
export function listenForExits(): void {
  if (listening) {
    return;
  }
  listening = true;
  // This listener does not keep the event loop alive.
  process.on('SIGCHLD', look);
}

/** Calls back once when the process has ended, never synchronously. */
export function watchExit(pid: number, onEnd: () => void): void {
  watched.set(pid, onEnd);
  // The process may have ended between its start and this line.
  setImmediate(lookAt, pid);
}

function look(): void {
  for (const pid of watched.keys()) {
    lookAt(pid);
  }
}

function lookAt(pid: number): void {
  const onEnd = watched.get(pid);
  if (onEnd === undefined) {
    return;
  }
  if (!hasEnded(pid)) {
    return;
  }
  watched.delete(pid);
  // The kernel closes the pipes of a process before it tells of its end, so most outputs have ended by now.
  tellSilent();
  onEnd();
}

/** Whether a child of ours that was not collected has ended. */
export function hasEnded(pid: number): boolean {
  information.writeInt32LE(0, libc.SIGINFO_PID_OFFSET);
  const failed = libc.waitid(libc.P_PID, pid, information, libc.WEXITED | libc.WNOWAIT | libc.WNOHANG) !== 0;
  // A failure can only be ECHILD: somebody else has taken the status, so no other news of this process will come.
  return failed || information.readInt32LE(libc.SIGINFO_PID_OFFSET) !== 0;
}

/** Takes the exit status of an ended child; `undefined` while it runs or when somebody else took it. */
export function collectExit(pid: number): ExitStatus | undefined {
  const status: Out<number> = [0];
  if (libc.waitpid(pid, status, libc.WNOHANG) !== pid) {
    return undefined;
  }
  watched.delete(pid);
  return decodeStatus(status[0]);
}

const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));
// Where two names share a number, the contract's is the usual one.
for (const name of ['SIGABRT', 'SIGCHLD', 'SIGIO', 'SIGSYS'] as const) {
  signalNames.set(constants.signals[name], name);
}

function decodeStatus(status: number): ExitStatus {
  const signal = status & 0x7f;
  if (signal === 0) {
    return { code: (status >> 8) & 0xff, signal: undefined };
  }
  return { code: -1, signal: signalNames.get(signal) ?? `SIG${signal}` };
}
