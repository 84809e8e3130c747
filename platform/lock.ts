/** The lock of a run directory, `daemon.lock`, and the record of its holder in that file (spec modes.md §7). */

/** Content of `daemon.lock` (spec modes.md §7). */
export interface LockRecord {
  readonly pid: number;
  readonly role: string;
  readonly node?: string;
  readonly instanceId?: string;
  readonly startedAt?: number;
}

/** Held by one daemon of a run directory at a time; the OS drops it when the holder dies. */
export interface RunDirectoryLock {
  write(record: LockRecord): void;
  /** Empties the record, then gives the lock back; the file stays. A second call of either does nothing. @throws Node's error */
  clearAndRelease(): void;
  /** Gives the lock back and leaves the record as it is, for those who only looked. */
  releaseUnchanged(): void;
}

export type LockAttempt =
  | { readonly state: 'taken'; readonly lock: RunDirectoryLock }
  /** `record` is `undefined` when it cannot be read as one. */
  | { readonly state: 'held'; readonly record: LockRecord | undefined }
  /** `foreign`: the file belongs to another user, who can hold it for ever and write what he likes. */
  | { readonly state: 'unsupported' | 'missing' | 'unreadable' | 'foreign'; readonly reason: string };

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
