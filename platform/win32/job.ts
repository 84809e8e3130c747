/** Job objects: what a child and everything it starts are held together by (spec platform.md §3 "Children and kill"). */

import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { opened } from './handles.ts';
import { lastError } from './system-errors.ts';

/** Exit code of everything we end (spec process.md §6). */
export const killedExitCode = 1;

/** @param killOnClose the end of the last handle, so also our own end, ends every process in it. @throws WindowsError */
export function createJob(options: { readonly killOnClose: boolean }): Handle {
  const job = opened(kernel32.CreateJobObjectW(null, null), 'CreateJobObject');
  if (!options.killOnClose) {
    return job;
  }
  const limits = Buffer.alloc(kernel32.JOB_LIMITS_BYTES);
  limits.writeUInt32LE(kernel32.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, kernel32.JOB_LIMITS_FLAGS);
  if (
    kernel32.SetInformationJobObject(job, kernel32.JobObjectExtendedLimitInformation, limits, kernel32.JOB_LIMITS_BYTES)
  ) {
    return job;
  }
  const failure = lastError('SetInformationJobObject');
  kernel32.CloseHandle(job);
  throw failure;
}

let ourJob: Handle | undefined;

/**
 * The job around all our children. Never closed: the system closes it when we end, however we end, and that ends every
 * child with everything it started. The job of a single child lies inside and can therefore be let go of as soon as the
 * child has ended without taking a process the child left behind. @throws WindowsError
 */
export function jobOfThisProcess(): Handle {
  ourJob ??= createJob({ killOnClose: true });
  return ourJob;
}
