/** The end of a keeper for `release --keeper` (spec durable.md §6): it ignores TERM, so it is killed, and its children ended. */
import { readFileSync } from 'node:fs';
import type { ListedProcess } from '../../platform/process-list.ts';
import { type EndResult, endProcesses } from '../base/end-processes.ts';
import { keeperRecordName } from '../run-directory/names.ts';
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

/**
 * Ends one whose record says the same of it as the system does.
 * @param runDirectory folder of its socket
 */
export async function endKeeper(
  { process }: FoundKeeper,
  runDirectory: string,
  options: EndingOptions,
): Promise<KeeperEnd> {
  const { processes, list } = options;
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
  return { result, children };
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
