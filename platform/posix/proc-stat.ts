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
  // From field 3 on: the name in field 2 may hold anything. Splitting the text into its 50 fields costs three times as much.
  let at = text.lastIndexOf(')') + 2;
  const next = (): string => {
    const end = text.indexOf(' ', at);
    const field = text.slice(at, end);
    at = end + 1;
    return field;
  };
  const state = next();
  const parent = Number(next());
  const group = Number(next());
  for (let field = 6; field < 22; field++) {
    at = text.indexOf(' ', at) + 1;
  }
  return { state, parent, group, startTicks: next(), memory: next() };
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
