/** `CreateProcessW` and what belongs to it: standard handles, the list of what is inherited, the jobs. */
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { environmentBlock } from './environment.ts';
import { handleAt } from './handles.ts';
import { lastError, WindowsError } from './system-errors.ts';

export interface LaunchRequest {
  /** Path of the program; never searched for. */
  readonly file: string;
  readonly commandLine: string;
  readonly env: ReadonlyArray<readonly [name: string, value: string]>;
  readonly cwd: string | undefined;
  readonly input: Handle;
  readonly output: Handle;
  readonly errors: Handle;
  /** Further handles the child gets, under the same numbers. */
  readonly inherited: readonly Handle[];
  /** The child is a member of each from before its first instruction; every next one lies inside the one before. */
  readonly jobs: readonly Handle[];
  /** CREATE_... and DETACHED_PROCESS flags. */
  readonly flags: number;
}

export interface Launched {
  readonly process: Handle;
  readonly pid: number;
}

/** Longest command line CreateProcess takes, in UTF-16 units with the final NUL. */
const maxCommandLineUnits = 32_767;
const errorNameTooLong = 206;

/**
 * Starts a program that inherits the named handles and nothing else.
 * @throws WindowsError; no process is left behind
 */
export function launch(request: LaunchRequest): Launched {
  if (request.commandLine.length >= maxCommandLineUnits) {
    throw new WindowsError('CreateProcess', errorNameTooLong);
  }
  const standard = [request.input, request.output, request.errors];
  const inherited = [...new Set([...standard, ...request.inherited])];
  const handleList = handleArray(inherited);
  const jobList = handleArray(request.jobs);
  const attributes = createAttributeList(request.jobs.length > 0 ? 2 : 1);
  const information = Buffer.alloc(kernel32.PROCESS_INFORMATION_BYTES);
  try {
    for (const handle of inherited) {
      makeInheritable(handle, true);
    }
    setAttribute(attributes, kernel32.PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handleList);
    if (request.jobs.length > 0) {
      setAttribute(attributes, kernel32.PROC_THREAD_ATTRIBUTE_JOB_LIST, jobList);
    }
    const startup = Buffer.alloc(kernel32.STARTUPINFOEX_BYTES);
    startup.writeUInt32LE(startup.length, 0);
    startup.writeUInt32LE(kernel32.STARTF_USESTDHANDLES, kernel32.STARTUPINFO_FLAGS);
    standard.forEach((handle, index) => {
      startup.writeBigUInt64LE(handle, kernel32.STARTUPINFO_HANDLES + index * 8);
    });
    startup.writeBigUInt64LE(kernel32.addressOf(attributes), kernel32.STARTUPINFO_ATTRIBUTES);
    const created = kernel32.CreateProcessW(
      request.file,
      Buffer.from(`${request.commandLine}\0`, 'utf16le'),
      null,
      null,
      1,
      request.flags |
        kernel32.CREATE_SUSPENDED |
        kernel32.CREATE_UNICODE_ENVIRONMENT |
        kernel32.EXTENDED_STARTUPINFO_PRESENT,
      environmentBlock(request.env),
      request.cwd ?? null,
      startup,
      information,
    );
    if (!created) {
      throw lastError('CreateProcess');
    }
  } finally {
    // Node's own children inherit whatever is inheritable at that moment, so nothing stays so.
    for (const handle of inherited) {
      makeInheritable(handle, false);
    }
    kernel32.DeleteProcThreadAttributeList(attributes);
    // The attribute list holds their addresses only: they must not have been collected before this line.
    handleList.fill(0);
    jobList.fill(0);
  }
  return start(handleAt(information, 0), handleAt(information, 8), information.readUInt32LE(16));
}

/** The process is suspended until here: whatever has to hold before its first instruction holds now. */
function start(process: Handle, thread: Handle, pid: number): Launched {
  const resumed = kernel32.ResumeThread(thread) !== 0xffff_ffff;
  const failure = resumed ? undefined : lastError('ResumeThread');
  kernel32.CloseHandle(thread);
  if (failure === undefined) {
    return { process, pid };
  }
  kernel32.TerminateProcess(process, 1);
  kernel32.CloseHandle(process);
  throw failure;
}

function handleArray(handles: readonly Handle[]): Buffer {
  const array = Buffer.alloc(handles.length * 8);
  handles.forEach((handle, index) => {
    array.writeBigUInt64LE(handle, index * 8);
  });
  return array;
}

function createAttributeList(count: number): Buffer {
  const bytes = Buffer.alloc(8);
  kernel32.InitializeProcThreadAttributeList(null, count, 0, bytes);
  const list = Buffer.alloc(Number(bytes.readBigUInt64LE(0)));
  if (!kernel32.InitializeProcThreadAttributeList(list, count, 0, bytes)) {
    throw lastError('InitializeProcThreadAttributeList');
  }
  return list;
}

function setAttribute(list: Buffer, attribute: number, value: Buffer): void {
  if (!kernel32.UpdateProcThreadAttribute(list, 0, attribute, kernel32.addressOf(value), value.length, null, null)) {
    throw lastError('UpdateProcThreadAttribute');
  }
}

function makeInheritable(handle: Handle, inheritable: boolean): void {
  kernel32.SetHandleInformation(handle, kernel32.HANDLE_FLAG_INHERIT, inheritable ? kernel32.HANDLE_FLAG_INHERIT : 0);
}
