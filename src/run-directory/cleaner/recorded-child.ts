/** Children that a dead daemon has left: the next daemon of their run directory ends them, and needs their records for it. */
import { recordFolderName } from '../names.ts';
import { bootOf, maxRecordBytes, parseRecord } from '../records/record.ts';
import type { PassOptions } from './pass-options.ts';

/** @returns why the run directory is still needed for a child on record; `undefined`: it is not */
export function recordedChild(runDirectory: string, { markers, processes, paths }: PassOptions): string | undefined {
  let folder: ReturnType<typeof markers.openRecords>;
  try {
    folder = markers.openRecords(runDirectory, recordFolderName, { create: false });
  } catch (error) {
    return `its records cannot be read: ${paths.reason(error)}`;
  }
  if (typeof folder === 'string') {
    return undefined;
  }
  const { node = '' } = processes.self();
  try {
    for (const name of folder.names()) {
      const text = folder.read(name, maxRecordBytes);
      const record = text === undefined ? undefined : parseRecord(name, text);
      if (record === undefined) {
        continue;
      }
      if (record.host !== markers.host) {
        return `a record in it is of another host, "${record.host}"`;
      }
      if (record.node === node) {
        if (markers.startOf(record.pid) === record.start) {
          return `a child on record, pid ${record.pid}, is alive`;
        }
      } else if (bootOf(record.node) === bootOf(node)) {
        return 'a record in it is of another pid namespace';
      }
    }
  } finally {
    folder.close();
  }
  return undefined;
}
