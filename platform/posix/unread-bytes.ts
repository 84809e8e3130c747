/**
 * How many bytes of ours the peer of a Unix socket has not read yet, to the byte. The kernel tells it for the peer's end only,
 * through the socket monitoring interface that `ss` uses (sock_diag(7)). SIOCOUTQ on our own end counts whole buffers of up to
 * 80 KB and would take a reader of 1 kB/s for one that has stopped.
 */
import { fstatSync } from 'node:fs';
import type { Socket } from 'node:net';
import * as libc from '../../native-bindings/libc.ts';
import { socketDescriptor } from './socket-descriptor.ts';

/** nlmsghdr { len, type, flags, seq, pid } and unix_diag_req { family, protocol, pad, states, ino, show, cookie[2] }. */
const headerBytes = 16;
const requestBytes = headerBytes + 24;
/** nlmsghdr and unix_diag_msg { family, type, state, pad, ino, cookie[2] }; attributes { len, type } follow. */
const attributesAt = headerBytes + 16;
const replyBytes = 1024;

/** The monitoring socket of this process, opened once; -1: the kernel or a sandbox has none. */
let monitor: number | undefined;

/** `undefined`: it cannot be told. */
export function unreadBytes(socket: Socket): number | undefined {
  const fd = socketDescriptor(socket);
  if (fd < 0) {
    return undefined;
  }
  const peer = ask(fstatSync(fd).ino, libc.UDIAG_SHOW_PEER, libc.UNIX_DIAG_PEER);
  return peer === undefined ? undefined : ask(peer, libc.UDIAG_SHOW_RQLEN, libc.UNIX_DIAG_RQLEN);
}

/** The first number of one attribute of the socket with this inode. */
function ask(inode: number, show: number, attribute: number): number | undefined {
  monitor ??= libc.socket(libc.AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC, libc.NETLINK_SOCK_DIAG);
  if (monitor < 0) {
    return undefined;
  }
  const request = Buffer.alloc(requestBytes);
  request.writeUInt32LE(requestBytes, 0);
  request.writeUInt16LE(libc.SOCK_DIAG_BY_FAMILY, 4);
  request.writeUInt16LE(libc.NLM_F_REQUEST, 6);
  request.writeUInt8(libc.AF_UNIX, headerBytes);
  request.writeUInt32LE(0xffffffff, headerBytes + 4);
  request.writeUInt32LE(inode, headerBytes + 8);
  request.writeUInt32LE(show, headerBytes + 12);
  request.fill(0xff, headerBytes + 16);
  const reply = Buffer.alloc(replyBytes);
  if (Number(libc.send(monitor, request, request.length, 0)) !== request.length) {
    return undefined;
  }
  // The kernel answers within the call of send, so the answer is there or there is none.
  const length = Number(libc.recv(monitor, reply, reply.length, libc.MSG_DONTWAIT));
  for (let at = attributesAt; at + 8 <= length; ) {
    const size = reply.readUInt16LE(at);
    if (reply.readUInt16LE(at + 2) === attribute) {
      return reply.readUInt32LE(at + 4);
    }
    if (size < 4) {
      return undefined;
    }
    at += (size + 3) & ~3;
  }
  return undefined;
}
