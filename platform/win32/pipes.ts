/** Pipes between us and one other end: our end is overlapped, so libuv's loop serves it; the other end is plain. */

import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { opened } from './handles.ts';
import { randomHex } from './random.ts';
import { ownerOnly } from './security.ts';

export interface Pipe {
  readonly ours: Handle;
  readonly theirs: Handle;
}

/** Who writes. */
export type PipeDirection = 'to us' | 'from us';

const bufferBytes = 65_536;

/**
 * An owner-only pipe whose name nobody can guess or take. The attribute rights are those the C runtime and libuv ask of
 * a standard stream. `theirs` is not inheritable until `makeInheritable`.
 * @throws WindowsError
 */
export function openPipe(direction: PipeDirection): Pipe {
  const name = `\\\\.\\pipe\\holdfast-${process.pid}-${randomHex(16)}`;
  const toUs = direction === 'to us';
  const ours = opened(
    kernel32.CreateNamedPipeW(
      name,
      (toUs ? kernel32.PIPE_ACCESS_INBOUND : kernel32.PIPE_ACCESS_OUTBOUND) |
        kernel32.FILE_FLAG_OVERLAPPED |
        kernel32.FILE_FLAG_FIRST_PIPE_INSTANCE,
      kernel32.PIPE_REJECT_REMOTE_CLIENTS,
      1,
      bufferBytes,
      bufferBytes,
      0,
      ownerOnly(),
    ),
    'CreateNamedPipe',
  );
  try {
    const theirs = opened(
      kernel32.CreateFileW(
        name,
        toUs
          ? kernel32.GENERIC_WRITE | kernel32.FILE_READ_ATTRIBUTES
          : kernel32.GENERIC_READ | kernel32.FILE_WRITE_ATTRIBUTES,
        0,
        null,
        kernel32.OPEN_EXISTING,
        0,
        null,
      ),
      'CreateFile',
    );
    return { ours, theirs };
  } catch (error) {
    kernel32.CloseHandle(ours);
    throw error;
  }
}

/** Opens one pipe per direction, or none. @throws WindowsError */
export function openPipes<const D extends readonly PipeDirection[]>(...directions: D): { [K in keyof D]: Pipe } {
  const pipes: Pipe[] = [];
  try {
    for (const direction of directions) {
      pipes.push(openPipe(direction));
    }
    return pipes as { [K in keyof D]: Pipe };
  } catch (error) {
    closePipes(pipes);
    throw error;
  }
}

export function closePipes(pipes: readonly Pipe[]): void {
  for (const { ours, theirs } of pipes) {
    kernel32.CloseHandle(ours);
    kernel32.CloseHandle(theirs);
  }
}
