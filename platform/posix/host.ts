/** The machine around us: home, limits, end requests. */
import { closeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { constants } from 'node:os';
import * as libc from '../../native-bindings/libc.ts';
import type { Host } from '../host.ts';
import type { Paths } from '../paths.ts';
import { become } from './become.ts';
import { detach } from './detach.ts';
import { user } from './home.ts';
import { readDescriptor, reportStatus } from './inherited-descriptor.ts';
import { spawnShortcoming } from './launch.ts';
import { loginShellsEnded, loginShellVariable } from './login-shell.ts';
import { hostId, isContainer } from './machine.ts';
import { trimMemory } from './memory.ts';
import { memoryLimit } from './memory-limit.ts';
import { whyNoIdentity } from './proc-files.ts';
import { randomHex } from './random.ts';
import type { PosixSystem } from './system.ts';

/** Soft limit we ask for at most (spec platform.md §2 "Open-files limit"). */
const openFilesCap = 65_536n;
const listenPipeIgnored =
  '-listen-pipe is only supported on Windows and is ignored: other platforms serve JSON-RPC over the AF_UNIX socket directly';

const managedSettingsFolder = {
  linux: '/etc/claude-code',
  darwin: '/Library/Application Support/ClaudeCode',
} as const;
const noPeerCheck = {
  linux: 'CLAUDE_SSH_PEER_CHECK is set: this build has no peer check on Linux, serving all callers',
  darwin: 'this system names no namespaces: cannot tell callers in a sandbox from others, serving all',
} as const;

const noIdentity = 'no predecessor or orphan is ended, because nobody can tell who a process is, and startTime is 0';

export function createHost(os: PosixSystem, paths: Paths): Host {
  return {
    ...user,
    muslFolder: os === 'linux' ? '/lib' : undefined,
    hungRunReach: 'tree',
    managedSettingsFolder: managedSettingsFolder[os],
    noPeerCheck: noPeerCheck[os],
    // macOS would run `ps` for each process.
    tellsUsage: os === 'linux',
    hostId: () => (os === 'linux' ? hostId() : ''),
    isContainer: () => os === 'linux' && isContainer(),
    signalsAreRequests: true,
    loginShellVariable: (options) => loginShellVariable(options, paths),
    loginShellsEnded,
    detach: (request) => detach(request, paths),
    become: (successor) => become(successor, paths),
    async leaveLogin() {
      // launchd ends nothing that has left its session.
      return os === 'linux' ? (await import('./systemd.ts')).leaveLogin() : { through: [], warning: undefined };
    },
    randomHex,
    variableKey: (name) => name,
    keepsChildren: () => true,
    async facts() {
      return (await import('./host-facts.ts')).createHostFacts(os);
    },
    async serviceManager(kind) {
      return os === 'linux'
        ? (await import('./systemd.ts')).systemd(kind)
        : (await import('./launchd.ts')).launchd(kind);
    },

    serveWarnings({ listenPipe }) {
      const shortcoming = spawnShortcoming();
      const lack = os === 'linux' ? whyNoIdentity() : undefined;
      return [
        ...(listenPipe ? [listenPipeIgnored] : []),
        ...(shortcoming === undefined ? [] : [shortcoming]),
        ...(lack === undefined ? [] : [`${lack}: ${noIdentity}`]),
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
    memoryLimit,

    limitOpenFiles() {
      const limit = new BigUint64Array(2);
      if (libc.getrlimit(libc.RLIMIT_NOFILE, limit) !== 0) {
        return undefined;
      }
      const [, hard = openFilesCap] = limit;
      const soft = hard < openFilesCap ? hard : openFilesCap;
      // The runtime has raised the soft limit to the hard one at its start; children should not inherit millions.
      libc.setrlimit(libc.RLIMIT_NOFILE, new BigUint64Array([soft, hard]));
      libc.getrlimit(libc.RLIMIT_NOFILE, limit);
      return Number(limit[0]);
    },

    reportStatus,
    readDescriptor: (descriptor, maxBytes) => readDescriptor(descriptor, maxBytes, paths),

    // Not `process.exit`: at the end of the C library koffi writes our standard output and error through to the disk (fsync),
    // for the daemon its log. A busy disk takes seconds for that, and with one that fails koffi tries for ever.
    leave(exitCode) {
      flushCompileCache();
      libc._exit(exitCode);
      throw new Error('_exit has returned');
    },

    onEndRequest(callback) {
      process.on('SIGTERM', () => callback('terminated'));
      process.on('SIGINT', () => callback('interrupt'));
      process.on('SIGHUP', () => {});
    },
  };
}
