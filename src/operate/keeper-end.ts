/** The end of a keeper for `release --keeper` (spec durable.md §6): it ignores TERM, so it is killed, and its children ended. */
import { readFileSync } from 'node:fs';
import type { Platform } from '../../platform/platform.ts';
import type { ListedProcess } from '../../platform/process-list.ts';
import type { RunDirectory } from '../../platform/run-directories.ts';
import { type EndResult, endProcesses } from '../base/end-processes.ts';
import { createLog } from '../base/log.ts';
import { timings } from '../base/timings.ts';
import { keeperRecordName, lockFileName } from '../run-directory/names.ts';
import { reapChildren } from '../run-directory/records/reap.ts';
import { readKeeperWords } from '../run-directory/run-lock.ts';
import { type EndedListed, type EndingOptions, endTrees, killMs, pollMs } from './end-trees.ts';
import { ProcessTrees } from './process-trees.ts';

export interface FoundKeeper {
  readonly process: ListedProcess;
  /** Of the daemon in front of it. */
  readonly socket: string;
}

export interface KeeperEnd {
  readonly result: EndResult;
  readonly reason?: string;
  /** Its children, which have lost their pipes. */
  readonly children: readonly EndedListed[];
}

/** Keepers of this user among all processes. */
export function keepersAmong(processes: readonly ListedProcess[], user: number): readonly FoundKeeper[] {
  return processes.flatMap((process): FoundKeeper[] => {
    const socket = process.user === user ? readKeeperWords(process.words())?.socket : undefined;
    return socket === undefined ? [] : [{ process, socket }];
  });
}

/** Ends one whose record says the same of it as the system does, and leaves none of its files. */
export async function endKeeper(
  { process, socket }: FoundKeeper,
  platform: Platform,
  options: EndingOptions,
): Promise<KeeperEnd> {
  const { processes, list } = options;
  const runDirectory = platform.paths.directoryOf(socket);
  const refusal = whyNotTheRecorded(process, `${runDirectory}/${keeperRecordName}`);
  if (refusal !== undefined) {
    return { result: 'refused', reason: refusal, children: [] };
  }
  const below = new ProcessTrees(list.all(), list.user).treeOf(process).slice(1);
  let isLookedAt = false;
  const [end] = (
    await endProcesses({
      ...{ processes, graceMs: undefined, killMs, pollMs },
      find() {
        const targets = isLookedAt ? [] : [process];
        isLookedAt = true;
        return targets;
      },
    })
  ).values();
  const result = end?.result ?? 'gone';
  const children = result === 'killed' ? await endTrees({ known: below, more: () => [] }, options) : [];
  if (result === 'killed' || result === 'gone') {
    await cleanUp(process, socket, platform);
  }
  return { result, children };
}

/** A daemon that holds the run directory sees the end of its keeper, and does the same. */
async function cleanUp({ identity }: ListedProcess, socket: string, platform: Platform): Promise<void> {
  const { childMarkers: markers, paths, processes, runDirectories } = platform;
  const { removeLeftovers } = await import('../keeper/leftovers.ts');
  const runDirectory = paths.directoryOf(socket);
  let directory: RunDirectory | undefined;
  try {
    directory = runDirectories.open(runDirectory);
    const attempt = directory.tryLock(lockFileName, { create: false });
    if (attempt.state === 'taken') {
      const log = createLog({ level: 'error' });
      // The records of the children first: without the one of the keeper no start looks at them.
      if (markers !== undefined) {
        await reapChildren({ ...{ markers, paths, processes, runDirectory, log, timings }, rounds: 'all' });
      }
      removeLeftovers(directory, socket, { pid: identity.pid, startTime: identity.start });
      attempt.lock.releaseUnchanged();
    }
  } catch {
    // The folder is gone, with the files in it.
  } finally {
    directory?.close();
  }
}

function whyNotTheRecorded({ identity }: ListedProcess, file: string): string | undefined {
  let record: { readonly pid?: unknown; readonly startTime?: unknown };
  try {
    record = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return `its record ${file} cannot be read`;
  }
  return record.pid === identity.pid && record.startTime === identity.start
    ? undefined
    : `its record ${file} names another process`;
}
