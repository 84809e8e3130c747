/** What belongs to a session, out of one look at all processes: its tree, and what has left it and carries its mark. */
import { sessionMarkVariable } from '../../platform/child-markers.ts';
import type { ListedProcess } from '../../platform/process-list.ts';
import { runDirectoryMark, sessionMark } from '../base/session-mark.ts';
import { readDaemonWords, readKeeperWords } from '../run-directory/run-lock.ts';

/** A session as far as its processes are concerned. */
export interface TreeOwner {
  readonly id: string;
  readonly pid: number;
  /** In seconds since the epoch. */
  readonly startTime: number;
  /** Folder of the socket, as the daemon has it. */
  readonly runDirectory: string;
}

export interface SessionProcesses {
  /** The session's process itself, when it runs. */
  readonly root: ListedProcess | undefined;
  /** The process itself and everything below it or in its group, parents first. */
  readonly tree: readonly ListedProcess[];
  /** Marked as this session's and neither below it nor in its group. */
  readonly strays: readonly ListedProcess[];
}

/** Both are made of the same clock ticks, so that nothing but the spelling of a number can differ. */
const sameStartSeconds = 0.001;

export class ProcessTrees {
  readonly #byPid: ReadonlyMap<number, ListedProcess>;
  readonly #below = new Map<number, ListedProcess[]>();
  readonly #groups = new Map<number, ListedProcess[]>();
  readonly #user: number;
  #marked: ReadonlyMap<string, readonly ListedProcess[]> | undefined;
  #looseMarked: ReadonlyMap<string, readonly ListedProcess[]> | undefined;
  readonly #held = new Map<ListedProcess, boolean>();

  /** @param user only processes of this one are looked at for marks; -1: there are no users */
  constructor(processes: readonly ListedProcess[], user: number) {
    this.#byPid = new Map(processes.map((each) => [each.identity.pid, each]));
    this.#user = user;
    for (const each of processes) {
      append(this.#below, each.parent, each);
      if (each.group > 0) {
        append(this.#groups, each.group, each);
      }
    }
  }

  /** The process with this pid, if it is the one that was created then. */
  find(pid: number, startTime: number): ListedProcess | undefined {
    const found = this.#byPid.get(pid);
    return found !== undefined && Math.abs(found.startSeconds - startTime) < sameStartSeconds ? found : undefined;
  }

  /** A process and everything below it, parents first. */
  treeOf(root: ListedProcess): readonly ListedProcess[] {
    const tree = new Set([root]);
    for (const each of tree) {
      for (const child of this.#below.get(each.identity.pid) ?? []) {
        // A parent that was created later is another process with the number of the one that has ended.
        if (child.startSeconds >= each.startSeconds) {
          tree.add(child);
        }
      }
    }
    return [...tree];
  }

  /** @returns what runs of it; what an earlier session of the same id has left is not its own */
  of(owner: TreeOwner): SessionProcesses {
    const root = this.find(owner.pid, owner.startTime);
    const tree = new Set(root === undefined ? [] : this.treeOf(root));
    if (root !== undefined) {
      for (const member of this.#groups.get(owner.pid) ?? []) {
        for (const each of this.treeOf(member)) {
          tree.add(each);
        }
      }
    }
    const strays = (this.#loose.get(sessionMark(runDirectoryMark(owner.runDirectory), owner.id)) ?? []).filter(
      (each) => !tree.has(each) && each.startSeconds >= owner.startTime && !isHolder(each),
    );
    return { root, tree: [...tree], strays };
  }

  /** Everything in the process group of this one. */
  groupOf({ group }: ListedProcess): readonly ListedProcess[] {
    return this.#groups.get(group) ?? [];
  }

  parentOf({ parent, startSeconds }: ListedProcess): ListedProcess | undefined {
    const found = this.#byPid.get(parent);
    return found !== undefined && found.startSeconds <= startSeconds ? found : undefined;
  }

  /** The daemon or keeper of ours that the process is, or is below of. */
  holderOf(process: ListedProcess): ListedProcess | undefined {
    const seen = new Set<ListedProcess>();
    for (let at: ListedProcess | undefined = process; at !== undefined && !seen.has(at); at = this.parentOf(at)) {
      seen.add(at);
      if (isHolder(at)) {
        return at;
      }
    }
    return undefined;
  }

  /** Every process that carries a mark, by the mark. */
  get marked(): ReadonlyMap<string, readonly ListedProcess[]> {
    this.#marked ??= this.#byMark(() => true);
    return this.#marked;
  }

  /**
   * The same without what is below a daemon or keeper: most processes of a host with many sessions are, and their
   * environments need not be read to see that they have left nobody.
   */
  get #loose(): ReadonlyMap<string, readonly ListedProcess[]> {
    this.#looseMarked ??= this.#byMark((each) => !this.#isHeld(each));
    return this.#looseMarked;
  }

  #byMark(isWanted: (process: ListedProcess) => boolean): ReadonlyMap<string, readonly ListedProcess[]> {
    const found = new Map<string, ListedProcess[]>();
    for (const each of this.#byPid.values()) {
      const mark = each.user === this.#user && isWanted(each) ? each.variable(sessionMarkVariable) : undefined;
      if (mark !== undefined) {
        append(found, mark, each);
      }
    }
    return found;
  }

  /** Whether a daemon or keeper is above it; the words of parents only are read for that. */
  #isHeld(process: ListedProcess): boolean {
    const known = this.#held.get(process);
    if (known !== undefined) {
      return known;
    }
    // Before the look at the parent: no circle of parents goes on for ever.
    this.#held.set(process, false);
    const parent = this.parentOf(process);
    const isHeld = parent !== undefined && (isHolder(parent) || this.#isHeld(parent));
    this.#held.set(process, isHeld);
    return isHeld;
  }

  carrying(mark: string): readonly ListedProcess[] {
    return this.marked.get(mark) ?? [];
  }
}

/** Whether it is a daemon or keeper of ours. */
export function isHolder(process: ListedProcess): boolean {
  const words = process.words();
  return readDaemonWords(words) !== undefined || readKeeperWords(words) !== undefined;
}

function append<K>(map: Map<K, ListedProcess[]>, key: K, value: ListedProcess): void {
  const list = map.get(key);
  if (list === undefined) {
    map.set(key, [value]);
  } else {
    list.push(value);
  }
}
