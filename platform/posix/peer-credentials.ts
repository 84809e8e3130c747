import type { Socket } from 'node:net';
import * as libc from '../../native-bindings/libc.ts';
import type { Out } from '../../native-bindings/out.ts';
import { socketDescriptor } from './socket-descriptor.ts';
import type { PosixSystem } from './system.ts';

export interface PeerCredentials {
  /** 0 for a process of another pid namespace. */
  readonly pid: number;
  readonly uid: number;
}

/** Who is at the other end of a Unix socket: who dialled it, or who called listen(2). Linux; `undefined`: it cannot be told. */
export function peerCredentials(socket: Socket): PeerCredentials | undefined {
  const fd = socketDescriptor(socket);
  // struct ucred { pid_t pid; uid_t uid; gid_t gid; }
  const credentials: [number, number, number] = [0, 0, 0];
  const bytes = Int32Array.BYTES_PER_ELEMENT * credentials.length;
  if (fd < 0 || libc.getsockopt(fd, libc.SOL_SOCKET, libc.SO_PEERCRED, credentials, [bytes]) !== 0) {
    return undefined;
  }
  const [pid, uid] = credentials;
  return { pid, uid: uid >>> 0 };
}

/** The user at the other end; `undefined`: it cannot be told. */
export function peerUser(socket: Socket, os: PosixSystem): number | undefined {
  if (os === 'linux') {
    return peerCredentials(socket)?.uid;
  }
  const fd = socketDescriptor(socket);
  const uid: Out<number> = [0];
  return fd >= 0 && libc.getpeereid?.(fd, uid, [0]) === 0 ? uid[0] >>> 0 : undefined;
}
