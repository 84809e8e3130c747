/** CPU and memory of each held process, by pidusage. Linux only: elsewhere it starts programs for each look. */
import pidusage from 'pidusage';

export interface SessionUsage {
  readonly pid: number;
  /** User and system time so far. */
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
}

/**
 * How long pidusage keeps the files it has opened. Not `clear()`, which forgets them without closing (4.1.0), and not 0,
 * with which it reads for ever.
 */
const keepMs = 1000;

/** Processes that have ended meanwhile are left out. Never rejects. */
export async function usageOf(pids: readonly number[]): Promise<SessionUsage[]> {
  if (pids.length === 0) {
    return [];
  }
  const found = await pidusage([...pids], { maxage: keepMs, usePs: false }).catch(() => ({}));
  return Object.entries(found).flatMap(([pid, usage]) =>
    usage === undefined || usage === null
      ? []
      : [{ pid: Number(pid), cpuSeconds: (usage.ctime ?? 0) / 1000, memoryBytes: usage.memory ?? 0 }],
  );
}
