/**
 * Looking at and ending processes from a test, by pid and start time (Linux /proc), never by name.
 * Deliberately not the product's own platform adapter: what is under test must not vouch for itself.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { waitUntil } from './wait.ts';

/** One process. The OS reuses pids, so a pid never travels without its start time. */
export interface ProcessFacts {
  readonly pid: number;
  readonly parent: number;
  /** Clock ticks since boot, verbatim. */
  readonly start: string;
  /** `R`, `S`, `T` (stopped), `Z` … */
  readonly state: string;
}

/** `undefined` when there is no such process. A zombie is reported, with state `Z`. */
export function processFacts(pid: number): ProcessFacts | undefined {
  const stat = read(pid, 'stat');
  if (stat === undefined) {
    return undefined;
  }
  // The name, in parentheses, may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, state: fields[0] ?? '', parent: Number(fields[1]), start: fields[19] ?? '' };
}

/** Whether the very same process still runs; a zombie has ended. */
export function isRunning(target: ProcessFacts): boolean {
  const now = processFacts(target.pid);
  return now !== undefined && now.start === target.start && now.state !== 'Z';
}

/** Every running process whose arguments hold all of `words` (whole arguments, in any order). */
export function findByArguments(words: readonly string[]): ProcessFacts[] {
  return allPids()
    .filter((pid) => {
      const found = read(pid, 'cmdline')?.split('\0') ?? [];
      return words.every((word) => found.includes(word));
    })
    .map(processFacts)
    .filter(runs);
}

/** Ends the daemons that were started as `program`, which end their sessions, and then their keepers. */
export async function endAllOf(program: string): Promise<void> {
  for (const daemon of findByArguments([program, '-serve'])) {
    signalProcess(daemon, 'SIGTERM');
    await untilEnded(daemon);
  }
  for (const left of findByArguments([program])) {
    signalProcess(left, 'SIGKILL');
    await untilEnded(left);
  }
}

/**
 * Every running process that was started with the environment entry `mark` (`NAME=value`), with all their descendants:
 * it finds a double fork in a session of its own as well as a child that was given an empty environment.
 */
export function findMarked(mark: string): ProcessFacts[] {
  const all = allPids().map(processFacts).filter(runs);
  const found = new Set<number>();
  for (const { pid } of all) {
    if (read(pid, 'environ')?.split('\0').includes(mark)) {
      found.add(pid);
    }
  }
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const { pid, parent } of all) {
      if (found.has(parent)) {
        found.add(pid);
      }
    }
  }
  return all.filter(({ pid }) => found.has(pid));
}

/** Sends a signal to the very process that was looked at. `false` when it is gone. */
export function signalProcess(target: ProcessFacts, signal: NodeJS.Signals): boolean {
  if (!isRunning(target)) {
    return false;
  }
  try {
    process.kill(target.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') {
      return false;
    }
    throw error;
  }
}

/** Resolves when the process has ended (a zombie has). */
export function untilEnded(target: ProcessFacts, what = `process ${target.pid} to end`): Promise<true> {
  return waitUntil(() => !isRunning(target) || undefined, what);
}

/** Every process, zombies too; all but our own. */
export function allProcesses(): ProcessFacts[] {
  return allPids()
    .map(processFacts)
    .filter((facts) => facts !== undefined);
}

/** All but our own. */
function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid);
}

function runs(facts: ProcessFacts | undefined): facts is ProcessFacts {
  return facts !== undefined && facts.state !== 'Z';
}

function read(pid: number, file: string): string | undefined {
  try {
    // As UTF-8, which Node.js reads in half of the time that another text takes.
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // Ended meanwhile (ENOENT, ESRCH), or of another user (EACCES).
    return undefined;
  }
}

/** What the process's open descriptors lead to (`socket:[…]`, `/dev/null` …), by number: for leak checks. */
export function openDescriptors(pid: number): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      found.set(Number(name), readlinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      // Closed between the listing and the look.
    }
  }
  return found;
}

/** Resident memory of the process in bytes. @throws when it has ended */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  if (match === null) {
    throw new Error(`process ${pid} has no resident memory: it has ended`);
  }
  return Number(match[1]) * 1024;
}
