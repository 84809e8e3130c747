import type { Socket } from 'node:net';
import * as libc from '../../native-bindings/libc.ts';
import { socketDescriptor } from './socket-descriptor.ts';

export interface PeerCredentials {
  /** 0 for a process of another pid namespace. */
  readonly pid: number;
  readonly uid: number;
}

/** Who is at the other end of a Unix socket: who dialled it, or who called listen(2). Linux; `undefined`: it cannot be told. */
export function peerCredentials(socket: Socket): PeerCredentials | undefined {
  // struct ucred { pid_t pid; uid_t uid; gid_t gid; }
  const credentials = new Int32Array(3);
  const length = new Int32Array([credentials.byteLength]);
  const failed =
    libc.getsockopt(socketDescriptor(socket), libc.SOL_SOCKET, libc.SO_PEERCRED, credentials, length) !== 0;
  return failed ? undefined : { pid: credentials[0], uid: credentials[1] >>> 0 };
}
