/** Who a process is: its creation time, read through an open handle, which keeps the pid from being reused meanwhile. */

import type { Address, Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import * as ntdll from '../../native-bindings/ntdll.ts';
import type { Out } from '../../native-bindings/out.ts';
import type { Processes } from '../processes.ts';
import { splitWords } from './command-line.ts';
import { handleAt } from './handles.ts';
import { killedExitCode } from './job.ts';

export type Identities = Pick<
  Processes,
  'identify' | 'startSeconds' | 'commandLine' | 'signalIfSame' | 'self' | 'ownStartSeconds'
>;

export function createIdentities(): Identities {
  return {
    identify(pid) {
      return withProcess(pid, 0, (process) => {
        const start = creationTime(process);
        // A creation time counts from 1601 and not from a boot, so there is no boot to name.
        return start === undefined ? undefined : { pid, start: String(start), node: undefined };
      });
    },

    self() {
      const start = creationTime(kernel32.GetCurrentProcess());
      return { pid: process.pid, start: start === undefined ? '' : String(start), node: undefined };
    },

    startSeconds: (pid) => withProcess(pid, 0, startSeconds) ?? 0,

    ownStartSeconds: () => startSeconds(kernel32.GetCurrentProcess()),

    commandLine(pid) {
      const line =
        withProcess(pid, 0, commandLineOf) ?? withProcess(pid, kernel32.PROCESS_VM_READ, commandLineFromMemory);
      return line === undefined ? undefined : splitWords(line);
    },

    signalIfSame(target) {
      const found = withProcess(target.pid, 0, creationTime);
      if (found === undefined || String(found) !== target.start) {
        return 'gone';
      }
      // Windows knows one way to end a process of somebody else's console; every signal name means it.
      const outcome = withProcess(target.pid, kernel32.PROCESS_TERMINATE, (process) => {
        if (String(creationTime(process)) !== target.start) {
          return 'gone';
        }
        return kernel32.TerminateProcess(process, killedExitCode) ? 'sent' : 'refused';
      });
      return outcome ?? 'refused';
    },
  };
}

/**
 * Runs `use` on a live process; `undefined` when there is none, or when we may not open it so.
 */
function withProcess<T>(pid: number, access: number, use: (process: Handle) => T | undefined): T | undefined {
  if (!Number.isInteger(pid) || pid <= 0) {
    return undefined;
  }
  const rights = access | kernel32.PROCESS_QUERY_LIMITED_INFORMATION | kernel32.SYNCHRONIZE;
  const process = kernel32.OpenProcess(rights, 0, pid);
  if (process === null) {
    return undefined;
  }
  try {
    // OpenProcess rounds down to a multiple of four, so it answers for numbers that are no pid.
    if (kernel32.GetProcessId(process) !== pid) {
      return undefined;
    }
    // An ended process can be opened for as long as somebody holds a handle of it.
    if (kernel32.WaitForSingleObject(process, 0) === kernel32.WAIT_OBJECT_0) {
      return undefined;
    }
    return use(process);
  } finally {
    kernel32.CloseHandle(process);
  }
}

/** FILETIME of the start: 100 ns since 1601-01-01; `undefined` when the system would not tell. */
export function creationTime(process: Handle): bigint | undefined {
  const creation = Buffer.alloc(8);
  const unused = Buffer.alloc(8);
  if (!kernel32.GetProcessTimes(process, creation, unused, unused, unused)) {
    return undefined;
  }
  return creation.readBigUInt64LE(0);
}

const epochAsFileTime = 116_444_736_000_000_000n;

/** Seconds since the epoch to the microsecond, which is as fine as a double holds; 0 when unknown (spec process.md §3.7). */
export function startSeconds(process: Handle): number {
  const created = creationTime(process);
  return created === undefined ? 0 : secondsOf(created);
}

/** A FILETIME in seconds since 1970. */
export function secondsOf(fileTime: bigint): number {
  return Number((fileTime - epochAsFileTime) / 10n) / 1e6;
}

function commandLineOf(process: Handle): string | undefined {
  const returned: Out<number> = [0];
  const probe = Buffer.alloc(16);
  ntdll.NtQueryInformationProcess(process, ntdll.ProcessCommandLineInformation, probe, probe.length, returned);
  if (returned[0] <= probe.length) {
    return undefined;
  }
  const text = Buffer.alloc(returned[0]);
  if (
    ntdll.NtQueryInformationProcess(process, ntdll.ProcessCommandLineInformation, text, text.length, returned) !== 0
  ) {
    return undefined;
  }
  return text.toString('utf16le', 16, 16 + text.readUInt16LE(0));
}

/** Offsets of 64-bit Windows: PEB.ProcessParameters, RTL_USER_PROCESS_PARAMETERS.CommandLine. */
const parametersInPeb = 0x20n;
const commandLineInParameters = 0x70n;

/** Where the query above is not known (Windows before 8.1, Wine): out of the process's own memory. */
function commandLineFromMemory(process: Handle): string | undefined {
  const information = Buffer.alloc(ntdll.PROCESS_BASIC_INFORMATION_BYTES);
  if (
    ntdll.NtQueryInformationProcess(process, ntdll.ProcessBasicInformation, information, information.length, [0]) !== 0
  ) {
    return undefined;
  }
  const peb: Address = handleAt(information, 8);
  const parameters = readMemory(process, peb + parametersInPeb, 8)?.readBigUInt64LE(0);
  const text = parameters === undefined ? undefined : readMemory(process, parameters + commandLineInParameters, 16);
  if (text === undefined) {
    return undefined;
  }
  return readMemory(process, text.readBigUInt64LE(8), text.readUInt16LE(0))?.toString('utf16le');
}

function readMemory(process: Handle, address: Address, bytes: number): Buffer | undefined {
  const buffer = Buffer.alloc(bytes);
  return kernel32.ReadProcessMemory(process, address, buffer, bytes, null) ? buffer : undefined;
}
