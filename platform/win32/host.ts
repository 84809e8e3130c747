/** The machine around us: home, inherited handles, end requests. */
import { readSync } from 'node:fs';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { SystemCallError } from '../errors.ts';
import type { Host } from '../host.ts';
import type { Paths } from '../paths.ts';
import { detach } from './detach.ts';
import { sameVariable } from './environment.ts';
import { user } from './home.ts';
import { parseHandle, readSome, writeAndClose } from './inherited-handle.ts';

const keepChildrenIgnored =
  '-keep-children is not supported on Windows and is ignored: child processes are confined to a Job Object that the OS terminates when the daemon exits';

export function createHost(paths: Paths): Host {
  return {
    ...user,
    muslFolder: undefined,
    hungRunReach: 'child',
    // Reading it would start PowerShell for each process.
    tellsUsage: false,
    sameVariable,
    detach: (request) => detach(request, paths),
    // Windows has no such limit, and no login shell whose PATH would differ (spec platform.md §1).
    serviceManager: async () => undefined,
    // Handles of the standard streams are the C library's business; the log's own lines are what grows.
    redirectOutput: () => false,

    endWithParent() {},
    limitOpenFiles: () => undefined,
    loginShellVariable: () => Promise.resolve(undefined),
    loginShellsEnded: () => Promise.resolve(),
    keepsChildren: (allowed) => allowed,
    serveWarnings: ({ keepChildren, keepChildrenAllowed }) =>
      keepChildren && !keepChildrenAllowed ? [keepChildrenIgnored] : [],

    reportStatus(descriptor, report) {
      const handle = parseHandle(descriptor);
      if (handle === undefined) {
        return;
      }
      try {
        writeAndClose(handle, Buffer.from(report));
      } catch {
        // The launcher is gone; nobody waits for the report.
      }
    },

    readDescriptor(descriptor, maxBytes) {
      const handle = parseHandle(descriptor);
      const buffer = Buffer.alloc(maxBytes);
      let length = 0;
      try {
        while (length < maxBytes) {
          const rest = buffer.subarray(length);
          const count = handle === undefined ? readDescriptorOnce(Number(descriptor), rest) : readSome(handle, rest);
          const newline = rest.subarray(0, count).includes(0x0a);
          length += count;
          if (count === 0 || newline) {
            break;
          }
        }
        return buffer.subarray(0, length);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        throw new SystemCallError(`read descriptor ${descriptor}: ${paths.reason(error)}`, code ?? '', {
          cause: error,
        });
      } finally {
        if (handle !== undefined) {
          kernel32.CloseHandle(handle);
        }
      }
    },

    onEndRequest(callback) {
      // Node gives these names to console events: Ctrl+C, Ctrl+Break, a closing console window.
      process.on('SIGINT', () => callback('interrupt'));
      process.on('SIGBREAK', () => callback('terminated'));
      process.on('SIGHUP', () => {});
    },
  };
}

function readDescriptorOnce(fd: number, bytes: Buffer): number {
  try {
    return readSync(fd, bytes, 0, bytes.length, null);
  } catch (error) {
    // What Node makes of the end of a pipe.
    if ((error as NodeJS.ErrnoException).code === 'EOF') {
      return 0;
    }
    throw error;
  }
}
