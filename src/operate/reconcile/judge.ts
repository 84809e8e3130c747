/**
 * What should be, held against one look at all processes (spec operators.md "reconcile"). Nothing here signals: a verdict
 * names a process by pid and start, and whoever acts on it reads both again.
 */
import {
  type ChildMarkers,
  childVariable,
  runDirVariable,
  sessionMarkVariable,
} from '../../../platform/child-markers.ts';
import type { ListedProcess } from '../../../platform/process-list.ts';
import { runDirectoryMark, sessionMark } from '../../base/session-mark.ts';
import { bootOf } from '../../run-directory/records/record.ts';
import type { ProcessTrees } from '../process-trees.ts';
import type { ExpectedProcess } from './expected.ts';
import { isInit } from './init.ts';
import type { RecordedChild } from './recorded.ts';

/**
 * `live`: held by a daemon or keeper. `orphan`: ours, and nobody holds it. `recycled`: the pid is another process now.
 * `foreign`: not ours. `unknown`: it cannot be told, for the reason.
 */
export type Verdict = 'live' | 'orphan' | 'exited' | 'recycled' | 'foreign' | 'unknown';

export interface Judged {
  readonly verdict: Verdict;
  readonly pid: number;
  /** Seconds since the epoch; 0 where nobody has told it. */
  readonly startTime: number;
  readonly id?: string | undefined;
  /** Path of the socket of the daemon. */
  readonly daemon?: string | undefined;
  readonly reason: string;
  /** The process itself, where there is one and it is meant. */
  readonly process?: ListedProcess | undefined;
}

/** A session as its daemon tells it. */
export interface HeldSession {
  readonly id: string;
  readonly pid: number;
  readonly startTime: number;
  readonly isRunning: boolean;
  readonly daemon: string;
  /** Folder of the socket, as the daemon has it. */
  readonly runDirectory: string;
}

export interface Evidence {
  readonly trees: ProcessTrees;
  readonly all: readonly ListedProcess[];
  /** Our own user id. */
  readonly user: number;
  /** Boot and pid namespace of this look. */
  readonly node: string | undefined;
  /** Name of this host, as `expected` has it. */
  readonly hostName: string;
  readonly sessions: readonly HeldSession[];
  readonly recorded: readonly RecordedChild[];
  readonly expected: readonly ExpectedProcess[];
  /** `undefined`: children leave no marks here (Windows). */
  readonly markers: Pick<ChildMarkers, 'startOf' | 'host'> | undefined;
  /** Only marks and records of this run directory are looked at; `undefined`: all. */
  readonly onlyRunDirectory: string | undefined;
}

/** @returns one verdict for each process that is held, marked, recorded or expected */
export function judgeAll(evidence: Evidence): readonly Judged[] {
  const rows = new Map<string, Judged>();
  const add = (row: Judged): void => {
    const key = keyOf(row.pid, row.startTime);
    const before = rows.get(key);
    if (before === undefined) {
      rows.set(key, row);
    } else {
      // What was told first is the better evidence; a later source may know the name.
      rows.set(key, { ...before, id: before.id ?? row.id, daemon: before.daemon ?? row.daemon });
    }
  };
  for (const session of evidence.sessions.filter(({ isRunning }) => isRunning)) {
    const { id, pid, startTime, daemon } = session;
    const process = evidence.trees.find(pid, startTime);
    add({ verdict: 'live', pid, startTime, id, daemon, reason: 'its daemon holds it', process });
  }
  for (const row of judgeMarked(evidence)) {
    add(row);
  }
  for (const child of evidence.recorded) {
    add(judgeRecorded(child, evidence));
  }
  for (const expected of evidence.expected) {
    add(judgeExpected(expected, rows.get(keyOf(expected.pid, expected.startTime)), evidence));
  }
  return [...rows.values()];
}

function keyOf(pid: number, startTime: number): string {
  return `${pid} ${Math.round(1000 * startTime)}`;
}

// ---- marks in environments

function judgeMarked(evidence: Evidence): Judged[] {
  const { trees, onlyRunDirectory, sessions } = evidence;
  const prefix = onlyRunDirectory === undefined ? '' : `${runDirectoryMark(onlyRunDirectory)}:`;
  const known = new Map(sessions.map((each) => [sessionMark(runDirectoryMark(each.runDirectory), each.id), each]));
  return [...trees.marked]
    .filter(([mark]) => mark.startsWith(prefix))
    .flatMap(([mark, carriers]) => judgeCarriers(carriers, known.get(mark), evidence));
}

/** All processes with the mark of one session, or of several that had the same id one after the other. */
function judgeCarriers(
  carriers: readonly ListedProcess[],
  session: HeldSession | undefined,
  { trees }: Evidence,
): Judged[] {
  const holders = new Map(carriers.map((each) => [each, trees.holderOf(each)]));
  const roots = carriers.filter((each) => holders.get(each)?.identity.pid === each.parent);
  // What was started before the session that is held now was left by an earlier one of the same id.
  const heldSince = Math.min(...roots.map(({ startSeconds }) => startSeconds));
  const marked = new Set(carriers);
  const told = { id: session?.id, daemon: session?.daemon };
  return carriers.flatMap((process): Judged[] => {
    const holder = holders.get(process);
    if (holder !== undefined) {
      return roots.includes(process) ? [judged(process, 'live', `pid ${holder.identity.pid} holds it`, told)] : [];
    }
    if (process.startSeconds >= heldSince) {
      return [judged(process, 'live', 'it has left its session, which is held', told)];
    }
    const parent = unmarkedParent(process, marked, trees);
    return parent === undefined || isInit(parent)
      ? [judged(process, 'orphan', session === undefined ? 'nobody holds its session' : 'its session has ended', told)]
      : [judged(process, 'unknown', `its parent, pid ${parent.identity.pid}, may hold it`, told)];
  });
}

function unmarkedParent(
  process: ListedProcess,
  marked: ReadonlySet<ListedProcess>,
  trees: ProcessTrees,
): ListedProcess | undefined {
  let at: ListedProcess | undefined = process;
  for (const seen = new Set<ListedProcess>(); at !== undefined && marked.has(at) && !seen.has(at); ) {
    seen.add(at);
    at = trees.parentOf(at);
  }
  return at;
}

function judged(process: ListedProcess, verdict: Verdict, reason: string, more: Partial<Judged> = {}): Judged {
  const { identity, startSeconds } = process;
  return { verdict, pid: identity.pid, startTime: startSeconds, ...more, reason, process };
}

// ---- records

function judgeRecorded({ record, runDirectory }: RecordedChild, evidence: Evidence): Judged {
  const { markers, node = '', trees, user, all } = evidence;
  const { pid } = record;
  const told = (verdict: Verdict, reason: string): Judged => ({ verdict, pid, startTime: 0, reason });
  if (record.host !== (markers?.host ?? '')) {
    return told('unknown', `its record is of another host, "${record.host}"`);
  }
  if (record.node === '' && node !== '') {
    return told('unknown', 'its record does not say in which boot it was started');
  }
  if (record.node !== node) {
    return bootOf(record.node) === bootOf(node)
      ? told('unknown', 'its record is of another pid namespace')
      : told('exited', 'it was started before this boot');
  }
  const process = all.find(({ identity }) => identity.pid === pid);
  if (process === undefined) {
    return told('exited', 'there is no such process any more');
  }
  if (markers?.startOf(pid) !== record.start) {
    return told('recycled', 'the pid is another process now');
  }
  if (process.user !== user) {
    return judged(process, 'foreign', `it runs as user ${process.user}, not as user ${user}`);
  }
  const holder = trees.holderOf(process);
  if (holder !== undefined) {
    return judged(process, 'live', `pid ${holder.identity.pid} holds it`);
  }
  if (markers.startOf(record.daemonPid) === record.daemonStart) {
    return judged(process, 'live', `its daemon, pid ${record.daemonPid}, lives`);
  }
  if (showsMark(process, { record, runDirectory })) {
    return judged(process, 'orphan', `the daemon that recorded it, pid ${record.daemonPid}, is gone`);
  }
  // A process may write over its own environment; then nothing at all is found there.
  return process.variable('PATH') === undefined
    ? judged(process, 'unknown', 'it is the recorded process and shows no mark, nor a PATH: its environment is gone')
    : judged(process, 'foreign', 'it does not carry the mark that its record tells of');
}

function showsMark(process: ListedProcess, { record, runDirectory }: RecordedChild): boolean {
  return record.session === undefined
    ? process.variable(runDirVariable) === runDirectory &&
        process.variable(childVariable) === `${record.pid}:${record.start}`
    : process.variable(sessionMarkVariable) === record.session;
}

// ---- what a control plane expects

function judgeExpected(expected: ExpectedProcess, known: Judged | undefined, evidence: Evidence): Judged {
  const { trees, all, user, hostName, sessions } = evidence;
  const { pid, startTime, id, host } = expected;
  const told = (verdict: Verdict, reason: string, more: Partial<Judged> = {}): Judged => ({
    ...{ verdict, pid, startTime, id, reason },
    ...more,
  });
  if (host !== undefined && host !== hostName) {
    return told('unknown', `it is expected on ${host}, and this is ${hostName}`);
  }
  if (known !== undefined) {
    return { ...known, id: known.id ?? id };
  }
  const ended = sessions.find((each) => keyOf(each.pid, each.startTime) === keyOf(pid, startTime));
  const process = trees.find(pid, startTime);
  if (process === undefined) {
    const isTaken = ended === undefined && all.some(({ identity }) => identity.pid === pid);
    return isTaken
      ? told('recycled', 'the pid is another process now')
      : told('exited', ended === undefined ? 'there is no such process' : 'it has ended', { daemon: ended?.daemon });
  }
  if (process.user !== user) {
    return told('foreign', `it runs as user ${process.user}, not as user ${user}`, { process });
  }
  const holder = trees.holderOf(process);
  if (holder !== undefined) {
    return told('live', `pid ${holder.identity.pid} holds it`, { process });
  }
  // Where users have no numbers there are no process groups either.
  if (process.group !== pid && user !== -1) {
    return told('foreign', 'it does not lead a process group of its own, as every session does', { process });
  }
  const parent = trees.parentOf(process);
  return parent === undefined || isInit(parent)
    ? told('orphan', 'it is the process that was stored, and nobody holds it', { process })
    : told('unknown', `its parent, pid ${parent.identity.pid}, may hold it`, { process });
}
