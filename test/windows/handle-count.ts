/** Counting our own handles, for tests about leaks. */
import koffi, { type KoffiFunc } from 'koffi';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Out } from '../../native-bindings/out.ts';

const ntdll = koffi.load('ntdll.dll');
const NtQuerySystemInformation: KoffiFunc<
  (kind: number, information: Buffer, bytes: number, returned: number[]) => number
> = ntdll.func(
  'int32 __stdcall NtQuerySystemInformation(int kind, void *information, uint32 bytes, _Out_ uint32 *returned)',
);

/** SYSTEM_HANDLE_INFORMATION_EX: count at 0, then entries of 40 bytes from 16 on with the pid at 8. */
const SystemExtendedHandleInformation = 64;
const entriesOffset = 16;
const entryBytes = 40;
const entryPid = 8;
const STATUS_INFO_LENGTH_MISMATCH = 0xc000_0004 | 0;

/** GetProcessHandleCount where it works; Wine 8 always says 0, there all handles of the system are counted. */
export function countHandles(): number {
  const count: Out<number> = [0];
  if (kernel32.GetProcessHandleCount(kernel32.GetCurrentProcess(), count) && count[0] > 0) {
    return count[0];
  }
  let table = Buffer.alloc(1 << 20);
  const returned: Out<number> = [0];
  let status = NtQuerySystemInformation(SystemExtendedHandleInformation, table, table.length, returned);
  while (status === STATUS_INFO_LENGTH_MISMATCH) {
    table = Buffer.alloc(table.length * 2);
    status = NtQuerySystemInformation(SystemExtendedHandleInformation, table, table.length, returned);
  }
  if (status !== 0) {
    throw new Error(`NtQuerySystemInformation: 0x${(status >>> 0).toString(16)}`);
  }
  let ours = 0;
  const entries = Number(table.readBigUInt64LE(0));
  for (let index = 0; index < entries; index++) {
    if (table.readBigUInt64LE(entriesOffset + index * entryBytes + entryPid) === BigInt(process.pid)) {
      ours++;
    }
  }
  return ours;
}
