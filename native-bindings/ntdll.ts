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
