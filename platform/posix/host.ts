/** The machine around us: home, limits, end requests, inherited descriptors. */
import { closeSync, existsSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import * as libc from '../../native-bindings/libc.ts';
import { SystemCallError } from '../errors.ts';
import type { Host } from '../host.ts';
import type { Paths } from '../paths.ts';
import { closeQuietly, isNotInherited } from './descriptors.ts';
import { detach } from './detach.ts';
import { user } from './home.ts';
import { spawnShortcoming } from './launch.ts';
import { loginShellsEnded, loginShellVariable } from './login-shell.ts';
import { trimMemory } from './memory.ts';
import type { PosixSystem } from './system.ts';

/** Soft limit we ask for at most (spec platform.md §2 "Open-files limit"). */
const openFilesCap = 65_536n;
const retryReadMs = 5;
const listenPipeIgnored =
  '-listen-pipe is only supported on Windows and is ignored: other platforms serve JSON-RPC over the AF_UNIX socket directly';

const noProc =
  '/proc is not mounted: no predecessor or orphan is ended, because nobody can tell who a process is, and startTime is 0';

export function createHost(os: PosixSystem, paths: Paths): Host {
  return {
    ...user,
    muslFolder: os === 'linux' ? '/lib' : undefined,
    hungRunReach: 'tree',
    // macOS would run `ps` for each process.
    tellsUsage: os === 'linux',
    loginShellVariable: (options) => loginShellVariable(options, paths),
    loginShellsEnded,
    detach: (request) => detach(request, paths),
    sameVariable: (a, b) => a === b,
    keepsChildren: () => true,
    async serviceManager() {
      return os === 'linux' ? (await import('./systemd.ts')).systemd : (await import('./launchd.ts')).launchd;
    },

    serveWarnings({ listenPipe }) {
      const shortcoming = spawnShortcoming();
      return [
        ...(listenPipe ? [listenPipeIgnored] : []),
        ...(shortcoming === undefined ? [] : [shortcoming]),
        ...(os === 'linux' && !existsSync('/proc/self/stat') ? [noProc] : []),
      ];
    },

    endWithParent(pid) {
      // A shell may have become this process for its last command.
      if (libc.prctl === undefined || process.pid === pid) {
        return;
      }
      libc.prctl(libc.PR_SET_PDEATHSIG, constants.signals.SIGTERM, 0, 0, 0);
      // The parent may have ended before the call.
      if (process.ppid !== pid) {
        process.kill(process.pid, 'SIGTERM');
      }
    },

    redirectOutput(fd) {
      if (libc.dup2(fd, 1) < 0 || libc.dup2(fd, 2) < 0) {
        return false;
      }
      for (const output of [1, 2]) {
        libc.fcntl(output, libc.F_SETFD, libc.FD_CLOEXEC);
      }
      closeSync(fd);
      return true;
    },

    trimMemory,

    limitOpenFiles() {
      const limit = new BigUint64Array(2);
      if (libc.getrlimit(libc.RLIMIT_NOFILE, limit) !== 0) {
        return undefined;
      }
      const [, hard] = limit;
      const soft = hard < openFilesCap ? hard : openFilesCap;
      // The runtime has raised the soft limit to the hard one at its start; children should not inherit millions.
      libc.setrlimit(libc.RLIMIT_NOFILE, new BigUint64Array([soft, hard]));
      libc.getrlimit(libc.RLIMIT_NOFILE, limit);
      return Number(limit[0]);
    },

    reportStatus(descriptor, report) {
      const fd = Number(descriptor);
      try {
        writeSync(fd, report);
      } catch {
        // The launcher is gone; nobody waits for the report.
      }
      // Its end tells a launcher that could not be given the report that there is none.
      closeQuietly(fd);
    },

    readDescriptor(descriptor, maxBytes) {
      const fd = Number(descriptor);
      if (isNotInherited(fd)) {
        throw readFailure(fd, Object.assign(new Error('not inherited'), { code: 'EBADF' }), paths);
      }
      const buffer = Buffer.alloc(maxBytes);
      let length = 0;
      while (length < maxBytes) {
        const count = readRetrying(fd, buffer, length, paths);
        const newline = buffer.subarray(length, length + count).indexOf(0x0a);
        length += count;
        if (count === 0 || newline >= 0) {
          break;
        }
      }
      return buffer.subarray(0, length);
    },

    onEndRequest(callback) {
      process.on('SIGTERM', () => callback('terminated'));
      process.on('SIGINT', () => callback('interrupt'));
      process.on('SIGHUP', () => {});
    },
  };
}

function readFailure(fd: number, error: unknown, paths: Paths): SystemCallError {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return new SystemCallError(`read descriptor ${fd}: ${paths.reason(error)}`, code, { cause: error });
}

/** sshd may hand us a non-blocking stdin; there is nothing else to do while the token is on its way, so wait in place. */
function readRetrying(fd: number, buffer: Buffer, at: number, paths: Paths): number {
  for (;;) {
    try {
      return readSync(fd, buffer, at, buffer.length - at, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EOF') {
        return 0;
      }
      if (code !== 'EAGAIN') {
        throw readFailure(fd, error, paths);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryReadMs);
    }
  }
}
