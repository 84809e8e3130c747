/** AF_UNIX sockets: both ends. */
import type { Socket } from 'node:net';
import * as libc from '../../native-bindings/libc.ts';
import type { Paths } from '../paths.ts';
import { pipeFileName } from '../published-names.ts';
import type { Transport } from '../transport.ts';
import { createDialer } from './dial.ts';
import { createListen } from './listen.ts';
import { peerCredentials } from './peer-credentials.ts';
import { socketDescriptor } from './socket-descriptor.ts';
import type { PosixSystem } from './system.ts';
import { unreadBytes } from './unread-bytes.ts';

export function createTransport(os: PosixSystem, paths: Paths): Transport {
  return {
    ...createDialer(os, paths),
    listensOnAnyPath: true,
    foreignNames: [pipeFileName],
    listen: createListen(os, paths),
    sendNow,
    // macOS tells the user of the peer only, and that was compared when it was let in.
    peerOf: (socket) => (os === 'linux' ? peerCredentials(socket) : undefined),
    ...(os === 'linux' ? { unreadBytes } : {}),
  };
}

/** libuv's sockets do not block, and the runtime ignores SIGPIPE. */
function sendNow(socket: Socket, bytes: Buffer): number {
  const fd = socketDescriptor(socket);
  return fd < 0 ? 0 : Math.max(0, Number(libc.write(fd, bytes, bytes.length)));
}
