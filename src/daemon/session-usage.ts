/** CPU and memory of the held processes together, by pidusage. Linux only: elsewhere it starts programs for each look. */
import pidusage from 'pidusage';

export interface SessionUsage {
  /** User and system time so far. */
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
}

/**
 * How long pidusage keeps the files it has opened. Not `clear()`, which forgets them without closing (4.1.0), and not 0,
 * with which it reads for ever.
 */
const keepMs = 1000;

/** A process that has ended meanwhile counts nothing. Never rejects. */
export async function usageOf(pids: readonly number[]): Promise<SessionUsage> {
  let [cpuSeconds, memoryBytes] = [0, 0];
  if (pids.length === 0) return { cpuSeconds, memoryBytes };
  const found = await pidusage([...pids], { maxage: keepMs, usePs: false }).catch(() => ({}));
  for (const usage of Object.values(found)) {
    cpuSeconds += (usage?.ctime ?? 0) / 1000;
    memoryBytes += usage?.memory ?? 0;
  }
  return { cpuSeconds, memoryBytes };
}
