/** Starting the daemon: a session of its own, the log as its output, two inherited pipes (spec modes.md §6). */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Detached, DetachRequest } from '../detach.ts';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { signalText } from '../signal-texts.ts';
import { keepFromInheriting, openNullDevice } from './descriptors.ts';
import { collectExit, listenForExits } from './exits.ts';
import { launch } from './launch.ts';
import { openPipe, openPipes, type Pipe } from './pipes.ts';

/** Where the child finds the pipes: right after its three standard descriptors. */
const statusDescriptor = 3;
const secretDescriptor = 4;

export function detach(request: DetachRequest, paths: Paths): Detached {
  listenForExits();
  keepFromInheriting();
  const nothing = openNullDevice(paths);
  let status: Pipe;
  let secret: Pipe | undefined;
  try {
    [status, secret] = request.secret === undefined ? [openPipe(), undefined] : openPipes(2);
  } catch (error) {
    closeSync(nothing);
    throw detachError(request, error, paths);
  }
  const env: (readonly [string, string])[] = [...request.env, [request.statusVariable, String(statusDescriptor)]];
  if (secret !== undefined) {
    env.push([request.secretVariable, String(secretDescriptor)]);
  }
  let pid: number;
  try {
    pid = launch({
      file: request.file,
      argv: [request.file, ...request.args],
      env,
      cwd: undefined,
      descriptors: [
        nothing,
        request.logFd ?? 1,
        request.logFd ?? 2,
        status.writeEnd,
        ...(secret === undefined ? [] : [secret.readEnd]),
      ],
    });
  } catch (error) {
    closeSync(status.readEnd);
    if (secret !== undefined) {
      closeSync(secret.writeEnd);
    }
    throw detachError(request, error, paths);
  } finally {
    closeSync(nothing);
    closeSync(status.writeEnd);
    if (secret !== undefined) {
      closeSync(secret.readEnd);
    }
  }

  if (secret !== undefined && request.secret !== undefined) {
    const writer = new Socket({ fd: secret.writeEnd, readable: false, writable: true });
    writer.on('error', () => writer.destroy());
    writer.end(request.secret);
  }
  const reader = new Socket({ fd: status.readEnd, readable: true, writable: false });
  let exit: string | undefined;
  return {
    pid,
    notes: [],
    status: reader,
    exitText() {
      const found = exit === undefined ? collectExit(pid) : undefined;
      if (found !== undefined) {
        exit = found.signal === undefined ? `exit status ${found.code}` : `signal: ${signalText(found.signal)}`;
      }
      return exit;
    },
    release: () => reader.destroy(),
  };
}

function detachError(request: DetachRequest, error: unknown, paths: Paths): SystemCallError {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return new SystemCallError(`fork/exec ${request.file}: ${paths.reason(error)}`, code, { cause: error });
}
