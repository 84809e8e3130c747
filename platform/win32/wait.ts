/**
 * Waiting for a Windows object without a thread and without polling.
 *
 * Node has no way to watch a foreign handle, and a blocking wait through koffi would take one of the runtime's four pool
 * threads per object. The system's own wait pool watches instead (as it does for libuv's children), and what it runs
 * when the object is signalled is `CloseHandle` itself on one end of a pipe: the other end, which libuv reads, then
 * reports end of file on our loop. No JavaScript runs on a foreign thread.
 */
import type { Socket } from 'node:net';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Out } from '../../native-bindings/out.ts';
import { toSocket } from './handles.ts';
import { openPipe } from './pipes.ts';
import { lastError } from './system-errors.ts';
import { afterWake, type Watched } from './wake.ts';

/**
 * Calls back once, on the event loop, after `object` was signalled. The object must stay open until then; who wants to
 * end a wait signals the object.
 * @param openWakePipe for tests, which let it fail
 * @throws WindowsError
 */
export function whenSignalled(object: Handle, callback: () => void, openWakePipe = openPipe): void {
  const pipe = openWakePipe('to us');
  let wake: Socket | undefined;
  let registration: Handle;
  try {
    wake = toSocket(pipe.ours, { readable: true, writable: false });
    registration = closeWhenSignalled(object, pipe.theirs);
  } catch (error) {
    wake?.destroy();
    kernel32.CloseHandle(pipe.theirs);
    throw error;
  }
  const watched: Watched = {
    stopWaiting: () => void kernel32.UnregisterWaitEx(registration, kernel32.INVALID_HANDLE_VALUE),
    isSignalled: () => kernel32.WaitForSingleObject(object, 0) === kernel32.WAIT_OBJECT_0,
    closeFarEnd: () => void kernel32.CloseHandle(pipe.theirs),
  };
  afterWake(wake, watched, callback);
}

/** @returns the registration, to be undone after the end. @throws WindowsError */
function closeWhenSignalled(object: Handle, end: Handle): Handle {
  const wait: Out<Handle | null> = [null];
  // The callback has one argument less than the caller passes, which the calling convention of 64-bit Windows allows.
  const registered = kernel32.RegisterWaitForSingleObject(
    wait,
    object,
    kernel32.CloseHandleAddress,
    end,
    kernel32.INFINITE,
    kernel32.WT_EXECUTEINWAITTHREAD | kernel32.WT_EXECUTEONLYONCE,
  );
  if (!registered || wait[0] === null) {
    throw lastError('RegisterWaitForSingleObject');
  }
  return wait[0];
}
