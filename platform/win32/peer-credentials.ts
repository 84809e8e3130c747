/** Which process is at the other end of a pipe (`Transport.peerOf`). */
import type { Socket } from 'node:net';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Out } from '../../native-bindings/out.ts';

/** The socket does not tell its handle, so the pid is asked for while the handle is ours. */
const pids = new WeakMap<Socket, number>();

/** @param end which one is the other end; where the system does not tell its process, nobody is remembered */
export function rememberPeer(socket: Socket, pipe: Handle, end: 'server' | 'client'): void {
  const pid: Out<number> = [0];
  const ask = end === 'server' ? kernel32.GetNamedPipeServerProcessId : kernel32.GetNamedPipeClientProcessId;
  if (ask(pipe, pid)) {
    pids.set(socket, pid[0]);
  }
}

export function peerOf(socket: Socket): { readonly pid: number } | undefined {
  const pid = pids.get(socket);
  return pid === undefined ? undefined : { pid };
}
