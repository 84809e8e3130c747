/** The end of what nobody holds any more, with all that belongs to it: what is below it and in its group (spec operators.md). */
import type { ListedProcess, ProcessList } from '../../platform/process-list.ts';
import type { Processes } from '../../platform/processes.ts';
import { type EndedProcess, endProcesses, processKey } from '../base/end-processes.ts';
import { ProcessTrees } from './process-trees.ts';

export type EndedListed = EndedProcess<ListedProcess>;

export interface EndingOptions {
  readonly processes: Pick<Processes, 'signalIfSame' | 'identify'>;
  readonly list: ProcessList;
  /** From TERM to KILL. */
  readonly graceMs: number;
}

/** What is to be ended: the processes that are known, and how more of them are found at a later look. */
export interface Trees {
  readonly known: readonly ListedProcess[];
  /** Processes of the same origin that have come since, for instance by their mark. */
  readonly more: (trees: ProcessTrees) => readonly ListedProcess[];
}

/** After KILL a process is waited for at most so long, and looked at so often. */
export const killMs = 5_000;
export const pollMs = 20;

/** @returns one entry for each process that was signalled, or was gone before it could be */
export async function endTrees(trees: Trees, options: EndingOptions): Promise<readonly EndedListed[]> {
  const { processes, list, graceMs } = options;
  let members: ReadonlyMap<string, ListedProcess> = byKey(trees.known);
  const ended = await endProcesses({
    ...{ processes, graceMs, killMs, pollMs },
    find() {
      members = membersNow(members, trees, list);
      return [...members.values()];
    },
  });
  const gone = trees.known.filter((each) => !ended.has(processKey(each)));
  return [...ended.values(), ...gone.map((process): EndedListed => ({ process, result: 'gone' }))];
}

/** Who of them lives, and who belongs to them by now: what is below them, in their groups, and what `more` finds. */
function membersNow(
  before: ReadonlyMap<string, ListedProcess>,
  { more }: Trees,
  list: ProcessList,
): ReadonlyMap<string, ListedProcess> {
  const all = list.all();
  const trees = new ProcessTrees(all, list.user);
  const living = all.filter((each) => before.has(processKey(each)));
  const members = new Map<string, ListedProcess>();
  const add = (each: ListedProcess): void => {
    // Of another user it is not ours to end, and what a daemon holds that was started inside is that daemon's.
    if (each.user === list.user && each.identity.pid !== process.pid && trees.holderOf(each) === undefined) {
      members.set(processKey(each), each);
    }
  };
  for (const each of living) {
    for (const below of trees.treeOf(each)) {
      add(below);
    }
    // A group keeps its number as long as it has a member, so whoever has that number now is in the same group; and all of
    // a group come from the one that began its session.
    for (const member of trees.groupOf(each)) {
      add(member);
    }
  }
  for (const each of more(trees)) {
    for (const below of trees.treeOf(each)) {
      add(below);
    }
  }
  return members;
}

function byKey(processes: readonly ListedProcess[]): ReadonlyMap<string, ListedProcess> {
  return new Map(processes.map((each) => [processKey(each), each]));
}
