/**
 * Ends processes that nobody holds any more, with all that belongs to them: TERM, a grace, KILL. Every process is named by
 * pid and start, and both are read again before each signal (design decision 8).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ListedProcess, ProcessList } from '../../platform/process-list.ts';
import type { Processes, SignalName } from '../../platform/processes.ts';
import { ProcessTrees } from './process-trees.ts';
import { processKey } from './session-rows.ts';

export interface EndingOptions {
  readonly processes: Pick<Processes, 'signalIfSame' | 'identify'>;
  readonly list: ProcessList;
  /** From TERM to KILL. */
  readonly graceMs: number;
}

/** What is to be ended: the processes that are known, and how more of them are found at a later look. */
export interface Ending {
  readonly known: readonly ListedProcess[];
  /** Processes of the same origin that have come since, for instance by their mark. */
  readonly more: (trees: ProcessTrees) => readonly ListedProcess[];
}

export type EndResult = 'ended' | 'killed' | 'gone' | 'refused' | 'survived';

export interface EndedProcess {
  readonly process: ListedProcess;
  readonly result: EndResult;
}

const pollMs = 20;
/** After KILL a process goes as soon as the kernel lets it. */
const killedMs = 5_000;
/** What is started while we look is found by another look; more than these mean a program that only forks. */
const mostRounds = 6;

/** @returns one entry for each process that was signalled, or was gone before it could be */
export async function endProcesses(ending: Ending, options: EndingOptions): Promise<readonly EndedProcess[]> {
  const { processes, list } = options;
  const found = new Map<string, { readonly process: ListedProcess; result: EndResult }>();
  let members: ReadonlyMap<string, ListedProcess> = byKey(ending.known);
  for (let round = 0; round < mostRounds; round++) {
    members = membersNow(members, ending, list);
    if (members.size === 0) {
      break;
    }
    const name: SignalName = round === 0 ? 'TERM' : 'KILL';
    for (const [key, process] of members) {
      const sent = processes.signalIfSame(process.identity, name);
      const result = sent === 'sent' ? (name === 'TERM' ? 'ended' : 'killed') : sent;
      const before = found.get(key);
      if (before === undefined) {
        found.set(key, { process, result });
      } else if (sent !== 'gone') {
        before.result = result;
      }
    }
    const limit = performance.now() + (round === 0 ? options.graceMs : killedMs);
    while (performance.now() < limit && [...members.values()].some((each) => isAlive(each, processes))) {
      await delay(pollMs);
    }
  }
  for (const each of ending.known) {
    if (!found.has(processKey(each))) {
      found.set(processKey(each), { process: each, result: 'gone' });
    }
  }
  for (const each of found.values()) {
    if (each.result !== 'refused' && isAlive(each.process, processes)) {
      each.result = 'survived';
    }
  }
  return [...found.values()];
}

function isAlive({ identity }: ListedProcess, processes: Pick<Processes, 'identify'>): boolean {
  return processes.identify(identity.pid)?.start === identity.start;
}

/** Who of them lives, and who belongs to them by now: what is below them, in their groups, and what `more` finds. */
function membersNow(
  before: ReadonlyMap<string, ListedProcess>,
  { more }: Ending,
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
