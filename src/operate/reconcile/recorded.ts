/** What dead daemons have written down of their children: the records in the run directories (spec platform.md §2). */
import type { ChildMarkers } from '../../../platform/child-markers.ts';
import { recordFolderName } from '../../run-directory/names.ts';
import { type ChildRecord, maxRecordBytes, parseRecord } from '../../run-directory/records/record.ts';

export interface RecordedChild {
  readonly record: ChildRecord;
  readonly runDirectory: string;
}

/** @param tell about a folder that cannot be used */
export function recordsIn(
  runDirectories: readonly string[],
  markers: ChildMarkers,
  tell: (text: string) => void,
): readonly RecordedChild[] {
  return runDirectories.flatMap((runDirectory) => {
    let folder: ReturnType<ChildMarkers['openRecords']>;
    try {
      folder = markers.openRecords(runDirectory, recordFolderName, { create: false });
    } catch (error) {
      // Most places that are looked at have no run directory.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        tell(`the records in ${runDirectory} are not used: ${(error as Error).message}`);
      }
      return [];
    }
    if (typeof folder === 'string') {
      return [];
    }
    try {
      return [...folder.names()].flatMap((name): RecordedChild[] => {
        const text = name.endsWith('.json') ? folder.read(name, maxRecordBytes) : undefined;
        const record = text === undefined ? undefined : parseRecord(name, text);
        return record === undefined ? [] : [{ record, runDirectory }];
      });
    } finally {
      folder.close();
    }
  });
}
