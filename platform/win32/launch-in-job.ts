/** Starting a child inside its job, or without one where that cannot be had (spec platform.md §3 "Children and kill"). */
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { createJob, jobOfThisProcess } from './job.ts';
import { type Launched, type LaunchRequest, launch } from './launch.ts';
import { WindowsError } from './system-errors.ts';

export interface ChildProcess extends Launched {
  /** The child and all it starts; `undefined` when it had to be started without. Owned by the receiver. */
  readonly job: Handle | undefined;
  /** Why there is no job, for the log. */
  readonly warning: string | undefined;
}

export interface JobOptions {
  /** The child is not ended together with us. */
  readonly outlivesUs: boolean;
}

export interface ChildJobs {
  /** Those around the child's own job, from the outermost inwards; they are not closed here. */
  readonly outer: readonly Handle[];
  readonly own: Handle;
}

/**
 * @param makeJobs a test replaces it
 * @throws WindowsError; nothing is left behind
 */
export function launchInJob(
  request: Omit<LaunchRequest, 'jobs'>,
  options: JobOptions,
  makeJobs: (options: JobOptions) => ChildJobs = jobsFor,
): ChildProcess {
  let made: ChildJobs;
  try {
    made = makeJobs(options);
  } catch (error) {
    return { ...launch({ ...request, jobs: [] }), job: undefined, warning: describe(error) };
  }
  const { outer, own } = made;
  try {
    return { ...launch({ ...request, jobs: [...outer, own] }), job: own, warning: undefined };
  } catch (error) {
    kernel32.CloseHandle(own);
    if (!mayBeTheJob(error)) {
      throw error;
    }
    // A program that cannot be started fails here again, with its own reason.
    return { ...launch({ ...request, jobs: [] }), job: undefined, warning: describe(error) };
  }
}

/** @throws WindowsError */
function jobsFor({ outlivesUs }: JobOptions): ChildJobs {
  return { outer: outlivesUs ? [] : [jobOfThisProcess()], own: createJob({ killOnClose: false }) };
}

/** What CreateProcess says when the jobs we are in ourselves allow no further one. */
const jobRefusals: readonly number[] = [
  kernel32.ERROR_ACCESS_DENIED,
  kernel32.ERROR_NOT_SUPPORTED,
  kernel32.ERROR_INVALID_PARAMETER,
];

function mayBeTheJob(error: unknown): boolean {
  return error instanceof WindowsError && jobRefusals.includes(error.number);
}

function describe(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  return `no job object for it (${reason}): a kill reaches the process itself only`;
}
