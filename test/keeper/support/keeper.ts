/** The keeper of a test's daemon, and its record. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestDaemon } from '../../support/daemon.ts';
import { isRunning, type ProcessFacts, processFacts } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';

export function recordFile(daemon: TestDaemon): string {
  return join(daemon.runDir, 'keeper.json');
}

export function readRecord(daemon: TestDaemon): Record<string, unknown> {
  return JSON.parse(readFileSync(recordFile(daemon), 'utf8'));
}

/** The running keeper, once it has written its record. */
export function keeperOf(daemon: TestDaemon): Promise<ProcessFacts> {
  return waitUntil(() => {
    const pid = existsSync(recordFile(daemon)) ? Number(readRecord(daemon).pid) : 0;
    const found = pid > 0 ? processFacts(pid) : undefined;
    return found !== undefined && isRunning(found) && found;
  }, `a keeper in ${daemon.runDir}`);
}
