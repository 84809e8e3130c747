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
  /** A thread id answers as well. The kernel tells nobody of the end of a thread, so it has no signal for that. */
  readonly isThread: boolean;
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
  // From field 3 on: the name in field 2 may hold anything. Splitting the text into its 50 fields costs three times as much.
  let at = text.lastIndexOf(')') + 2;
  const next = (): string => {
    const end = text.indexOf(' ', at);
    const field = text.slice(at, end);
    at = end + 1;
    return field;
  };
  const skip = (fields: number): void => {
    for (let left = fields; left > 0; left--) {
      at = text.indexOf(' ', at) + 1;
    }
  };
  const state = next();
  const parent = Number(next());
  const group = Number(next());
  skip(16);
  const startTicks = next();
  const memory = next();
  skip(14);
  return { state, parent, group, startTicks, memory, isThread: next() === '-1' };
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
