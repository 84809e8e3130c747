/** `/proc/<pid>/stat` (Linux): one read, one reader. */
import { closeSync, openSync, readSync } from 'node:fs';

export interface ProcStat {
  /** One letter; `Z` and `X`: it has ended. */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  /** Creation time in clock ticks since boot, as the kernel spells it. */
  readonly startTicks: string;
  /** Size of its memory in bytes, as text; `0`: it is ending, and nothing it shows can be relied on any more. */
  readonly memory: string;
}

/** More than the file ever has. */
const bytes = Buffer.alloc(4096);

/** `undefined` when there is no such process. */
export function procStat(pid: number): ProcStat | undefined {
  let text: string;
  try {
    text = readOnce(`/proc/${pid}/stat`);
  } catch {
    return undefined;
  }
  // From field 3 on: the name in field 2 may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parent, group] = fields;
  const [startTicks, memory] = fields.slice(19, 21);
  if (state === undefined || startTicks === undefined || memory === undefined) {
    return undefined;
  }
  return { state, parent: Number(parent), group: Number(group), startTicks, memory };
}

/** `readFileSync` asks for the size first and reads twice. */
function readOnce(path: string): string {
  const fd = openSync(path, 'r');
  try {
    return bytes.latin1Slice(0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}
