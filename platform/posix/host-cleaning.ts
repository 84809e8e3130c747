/** What the host cleaner sees, from /proc, and the folder it removes from. Linux only. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import type { HostCleaning } from '../host-cleaning.ts';
import type { Paths } from '../paths.ts';
import type { Transport } from '../transport.ts';
import { createAtCalls } from './at-calls.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { procStat } from './proc-stat.ts';
import { PosixRunDirectoryFolder } from './run-directory-folder.ts';

/** Appended by the kernel to the path of a file that was removed. */
const removedMark = ' (deleted)';

export function createHostCleaning(paths: Paths, transport: Transport): HostCleaning {
  const calls = createAtCalls(paths);
  const ticksPerSecond = libc.sysconf(libc._SC_CLK_TCK);

  function parentOf(pid: number): number | undefined {
    const fields = procStat(pid);
    return fields === undefined || fields.state === 'Z' || fields.state === 'X' ? undefined : fields.parent;
  }

  function programOf(pid: number): string | undefined {
    const path = linkOf(pid, 'exe');
    return path?.endsWith(removedMark) ? path.slice(0, -removedMark.length) : path;
  }

  return {
    pids: () => readdirSync('/proc').filter(isNumber).map(Number),
    parentOf,
    programOf,
    view(pid) {
      const fields = procStat(pid);
      const uptime = Number(read('/proc/uptime')?.split(' ')[0]);
      if (fields === undefined || !(uptime > 0)) {
        return undefined;
      }
      return {
        parent: fields.parent,
        // Both count from the boot of this machine, so a clock that is set changes nothing.
        ageMs: (uptime - Number(fields.startTicks) / ticksPerSecond) * 1000,
        program: programOf(pid),
        hasThreePipes: [0, 1, 2].every((fd) => linkOf(pid, `fd/${fd}`)?.startsWith('pipe:[') === true),
      };
    },
    acceptedConnections,
    openRunDirectories: (path) =>
      new PosixRunDirectoryFolder(DirectoryHandle.openTrusted(path), { calls, paths, transport }),
  };
}

const isNumber = (name: string): boolean => /^\d+$/.test(name);

/** A socket accepted on a path bears the name of the one that listens there; one that was dialled out has none. */
function acceptedConnections(pid: number): number | undefined {
  const table = unixSockets();
  if (table === undefined) {
    return undefined;
  }
  const listening = new Set<string>();
  const connected: string[] = [];
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(pid, `fd/${fd}`) ?? '')?.[1];
      const socket = inode === undefined ? undefined : table.get(inode);
      if (socket?.path === undefined) {
        continue;
      }
      if (socket.listens) {
        listening.add(socket.path);
      } else {
        connected.push(socket.path);
      }
    }
  } catch {
    return undefined;
  }
  // A daemon without any listener in our table lives in another network namespace: what it has accepted is not there either.
  return listening.size === 0 ? undefined : connected.filter((path) => listening.has(path)).length;
}

interface UnixSocket {
  readonly listens: boolean;
  readonly path: string | undefined;
}

/** `__SO_ACCEPTCON` of the kernel. */
const listensFlag = 0x1_0000;

/** The table of Unix sockets by inode: `Num RefCount Protocol Flags Type St Inode Path`. */
function unixSockets(): ReadonlyMap<string, UnixSocket> | undefined {
  const text = read('/proc/net/unix');
  if (text === undefined) {
    return undefined;
  }
  const sockets = new Map<string, UnixSocket>();
  for (const line of text.split('\n').slice(1)) {
    const found = /^\S+ \S+ \S+ ([0-9A-F]+) \S+ \S+ +(\d+)(?: (.*))?$/.exec(line);
    if (found === null) {
      continue;
    }
    const [, flags = '', inode = '', path] = found;
    sockets.set(inode, { listens: (Number.parseInt(flags, 16) & listensFlag) !== 0, path });
  }
  return sockets;
}

function linkOf(pid: number, name: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/${name}`);
  } catch {
    return undefined;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
