/** All processes, by one call of the system that tells everything about each of them. */
import * as ntdll from '../../native-bindings/ntdll.ts';
import type { Out } from '../../native-bindings/out.ts';
import type { ListedProcess, ProcessList } from '../process-list.ts';
import { createIdentities, secondsOf } from './identity.ts';

const tooSmall = 0xc000_0004 | 0;
/** 100 ns. */
const ticksPerSecond = 10_000_000;

export async function createProcessList(): Promise<ProcessList> {
  const identities = createIdentities();
  return {
    user: -1,
    node: undefined,
    all: () => [...entriesOf(snapshot(), identities.commandLine)],
  };
}

/** @throws Error when the system refuses */
function snapshot(): Buffer {
  const needed: Out<number> = [0];
  for (let bytes = 1 << 18; ; bytes = Math.max(2 * bytes, needed[0])) {
    const buffer = Buffer.alloc(bytes);
    const status = ntdll.NtQuerySystemInformation(ntdll.SystemProcessInformation, buffer, bytes, needed);
    if (status >= 0) {
      return buffer;
    }
    if (status !== tooSmall) {
      throw new Error(`NtQuerySystemInformation: status 0x${(status >>> 0).toString(16)}`);
    }
  }
}

function* entriesOf(
  buffer: Buffer,
  commandLine: (pid: number) => readonly string[] | undefined,
): Generator<ListedProcess> {
  for (let at = 0; ; ) {
    const time = (offset: number): bigint => buffer.readBigInt64LE(at + offset);
    const pid = Number(buffer.readBigUInt64LE(at + ntdll.PROCESS_ENTRY_PID));
    const created = time(ntdll.PROCESS_ENTRY_CREATE_TIME);
    // The idle process is none.
    if (pid !== 0) {
      yield {
        identity: { pid, start: String(created), node: undefined },
        parent: Number(buffer.readBigUInt64LE(at + ntdll.PROCESS_ENTRY_PARENT)),
        group: 0,
        user: -1,
        startSeconds: secondsOf(created),
        cpuSeconds:
          Number(time(ntdll.PROCESS_ENTRY_USER_TIME) + time(ntdll.PROCESS_ENTRY_KERNEL_TIME)) / ticksPerSecond,
        memoryBytes: Number(buffer.readBigUInt64LE(at + ntdll.PROCESS_ENTRY_WORKING_SET)),
        words: () => commandLine(pid) ?? [],
        variable: () => undefined,
      };
    }
    const step = buffer.readUInt32LE(at);
    if (step === 0) {
      return;
    }
    at += step;
  }
}
