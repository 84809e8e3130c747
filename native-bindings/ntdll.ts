/** ntdll.dll: what the documented layer has no call for. A negative result is an NTSTATUS failure. */
import koffi, { type KoffiFunc } from 'koffi';
import type { Handle } from './kernel32.ts';
import type { Out } from './out.ts';

const ntdll = koffi.load('ntdll.dll');

/** PROCESS_BASIC_INFORMATION, 48 bytes: address of the PEB at 8, parent's pid at 40. */
export const ProcessBasicInformation = 0;
export const PROCESS_BASIC_INFORMATION_BYTES = 48;
/** UNICODE_STRING (length at 0, address at 8) followed by its text. Windows 8.1 and later. */
export const ProcessCommandLineInformation = 60;
export const NtQueryInformationProcess: KoffiFunc<
  (process: Handle, kind: number, information: Buffer, bytes: number, returned: Out<number>) => number
> = ntdll.func(
  'int32 __stdcall NtQueryInformationProcess(void *process, int kind, void *information, uint32 bytes, _Out_ uint32 *returned)',
);

/** A list of SYSTEM_PROCESS_INFORMATION; the first number of each says how far on the next one is, 0 at the last. */
export const SystemProcessInformation = 5;
export const PROCESS_ENTRY_CREATE_TIME = 32;
export const PROCESS_ENTRY_USER_TIME = 40;
export const PROCESS_ENTRY_KERNEL_TIME = 48;
export const PROCESS_ENTRY_PID = 80;
export const PROCESS_ENTRY_PARENT = 88;
export const PROCESS_ENTRY_WORKING_SET = 144;
export const NtQuerySystemInformation: KoffiFunc<
  (kind: number, information: Buffer, bytes: number, returned: Out<number>) => number
> = ntdll.func(
  'int32 __stdcall NtQuerySystemInformation(int kind, void *information, uint32 bytes, _Out_ uint32 *returned)',
);
