/** The text of `daemon.lock` (spec modes.md §7). */
import type { LockRecord } from './platform.ts';

/** Longer records are not ours. */
export const maxLockRecordBytes = 4_096;

/** Reads a lock record; anything but an object with a positive integer pid is none. */
export function parseLockRecord(text: string): LockRecord | undefined {
  try {
    const value = JSON.parse(text) as Partial<Record<keyof LockRecord, unknown>> | null;
    if (typeof value !== 'object' || value === null) {
      return undefined;
    }
    const { pid, role, node, instanceId, startedAt } = value;
    if (typeof pid !== 'number' || !Number.isInteger(pid) || pid <= 0) {
      return undefined;
    }
    return {
      pid,
      role: typeof role === 'string' ? role : '',
      ...(typeof node === 'string' ? { node } : {}),
      ...(typeof instanceId === 'string' ? { instanceId } : {}),
      ...(typeof startedAt === 'number' ? { startedAt } : {}),
    };
  } catch {
    return undefined;
  }
}
