/** How much memory this process may use: what the machine has, or what its cgroup leaves of it. */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

/** Version 2 of cgroups is asked by the runtime, which follows the groups up; of version 1 it reads one group only. */
export function memoryLimit(): number {
  const constrained = process.constrainedMemory();
  return Math.min(totalmem(), constrained > 0 ? constrained : Number.POSITIVE_INFINITY, limitOfVersion1());
}

/** The least limit of the memory group and of those it lies in; Infinity where there is no such group. */
function limitOfVersion1(): number {
  try {
    const group = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
    if (group === undefined) {
      return Number.POSITIVE_INFINITY;
    }
    const statistics = readFileSync(`/sys/fs/cgroup/memory${group}/memory.stat`, 'utf8');
    const limit = Number(/^hierarchical_memory_limit (\d+)$/m.exec(statistics)?.[1]);
    return limit > 0 ? limit : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
