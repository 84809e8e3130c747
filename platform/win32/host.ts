/** The machine around us: home, end requests. */
import { totalmem } from 'node:os';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Host } from '../host.ts';
import type { Paths } from '../paths.ts';
import { become } from './become.ts';
import { detach } from './detach.ts';
import { variableKey } from './environment.ts';
import { user } from './home.ts';
import { readDescriptor, reportStatus } from './inherited-descriptor.ts';
import { hostId } from './machine.ts';
import { randomHex } from './random.ts';

const keepChildrenIgnored =
  '-keep-children is not supported on Windows and is ignored: child processes are confined to a Job Object that the OS terminates when the daemon exits';

export function createHost(paths: Paths): Host {
  return {
    ...user,
    muslFolder: undefined,
    hungRunReach: 'child',
    managedSettingsFolder: undefined,
    noPeerCheck: 'this system names no namespaces: cannot tell callers in a sandbox from others, serving all',
    // Reading it would start PowerShell for each process.
    tellsUsage: false,
    hostId,
    isContainer: () => false,
    signalsAreRequests: false,
    randomHex,
    variableKey,
    detach: (request) => detach(request, paths),
    become: (successor) => become(successor, paths),
    // Leaving the job of the login is part of being detached.
    leaveLogin: async () => ({ through: [], warning: undefined }),
    // Windows has no such limit, and no login shell whose PATH would differ (spec platform.md §1).
    async serviceManager(kind) {
      return (await import('./task-scheduler.ts')).taskScheduler(kind);
    },
    async facts() {
      return (await import('./host-facts.ts')).createHostFacts();
    },
    // Handles of the standard streams are the C library's business; the log's own lines are what grows.
    redirectOutput: () => false,

    memoryLimit: totalmem,
    endWithParent() {},
    limitOpenFiles: () => undefined,
    loginShellVariable: () => Promise.resolve(undefined),
    loginShellsEnded: () => Promise.resolve(),
    keepsChildren: (allowed) => allowed,
    serveWarnings: ({ keepChildren, keepChildrenAllowed }) =>
      keepChildren && !keepChildrenAllowed ? [keepChildrenIgnored] : [],

    reportStatus,
    readDescriptor: (descriptor, maxBytes) => readDescriptor(descriptor, maxBytes, paths),

    leave: (exitCode) => process.exit(exitCode),

    onEndRequest(callback) {
      // Whoever started us may have been told to ignore Ctrl+C, and children would inherit that.
      kernel32.SetConsoleCtrlHandler(null, 0);
      // Node gives these names to console events: Ctrl+C, Ctrl+Break, a closing console window.
      process.on('SIGINT', () => callback('interrupt'));
      process.on('SIGBREAK', () => callback('terminated'));
      process.on('SIGHUP', () => {});
    },
  };
}
