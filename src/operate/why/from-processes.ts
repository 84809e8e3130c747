/** What runs without its daemon, where neither a daemon nor a log tells of it: by its mark, or by its record. */
import type { ListedProcess } from '../../../platform/process-list.ts';
import { runDirectoryMark, sessionMark } from '../../base/session-mark.ts';
import type { ChildRecord } from '../../run-directory/records/record.ts';
import type { ProcessTrees } from '../process-trees.ts';

/** The oldest process that carries the mark of the session, which may be one that the session has left. */
export function markedProcess(idOrPid: string, runDirectory: string, trees: ProcessTrees): ListedProcess | undefined {
  const first = runDirectoryMark(runDirectory);
  const byId = trees.carrying(sessionMark(first, idOrPid));
  const found =
    byId.length > 0
      ? byId
      : [...trees.marked].flatMap(([mark, carriers]) =>
          mark.startsWith(`${first}:`) ? carriers.filter(({ identity }) => String(identity.pid) === idOrPid) : [],
        );
  return found.toSorted((a, b) => a.startSeconds - b.startSeconds)[0];
}

/** A record knows no id, so it is found by the pid only. */
export function recordOf(idOrPid: string, records: readonly ChildRecord[]): ChildRecord | undefined {
  return records.find(({ pid }) => String(pid) === idOrPid);
}
