/** The files of a keeper that has died without its own end (spec durable.md §6). */
import { basename } from 'node:path';
import { keeperLogName, keeperPipeFileName, keeperRecordName } from '../../platform/published-names.ts';
import type { RunDirectory } from '../../platform/run-directories.ts';
import { failpoint } from '../base/failpoints.ts';
import { type KeeperRecord, keeperSocketPath, maxRecordBytes, parseRecord } from './record.ts';

/**
 * Removes them, unless the record names another keeper by now. What the runtime said of the death stays in `keeper.log`.
 * Only for who holds the lock of the run directory: nobody else starts a keeper meanwhile.
 * @param dead whose process has ended
 * @param socketPath of the daemon
 */
export function removeLeftovers(
  directory: RunDirectory,
  socketPath: string,
  dead: Pick<KeeperRecord, 'pid' | 'startTime'>,
): void {
  try {
    const record = parseRecord(directory.readText(keeperRecordName, maxRecordBytes) ?? '');
    if (typeof record === 'string' || record.pid !== dead.pid || record.startTime !== dead.startTime) {
      return;
    }
    const isSilent = directory.readText(keeperLogName, 1) === '';
    directory.removeLeftover(keeperRecordName);
    failpoint('durable.leftovers.between');
    // By our own names, whatever a record says.
    for (const name of [basename(keeperSocketPath(directory.path, socketPath)), keeperPipeFileName]) {
      directory.removeLeftover(name);
    }
    if (isSilent) {
      directory.removeLeftover(keeperLogName);
    }
  } catch {
    // A disk that is read-only by now, or a folder that is gone. The next start finds the record of a dead keeper.
  }
}
