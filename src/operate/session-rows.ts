/** Sessions of all daemons with what their processes take: the rows of `ps` and `top` (spec operators.md "JSON"). */
import type { ListedProcess } from '../../platform/process-list.ts';
import { processKey } from '../base/end-processes.ts';
import type { SessionInfo } from '../client/index.ts';
import { commandText } from './command-text.ts';
import type { ReachedDaemon } from './daemons.ts';
import type { ProcessTrees, SessionProcesses } from './process-trees.ts';

/** A process, as the JSON of the verbs has it. */
export interface ShownProcess {
  readonly pid: number;
  /** Seconds since the epoch. */
  readonly startTime: number;
  /** Secrets left out. */
  readonly command: string;
}

export interface WaitingRequest {
  readonly requestId: string;
  readonly tool: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

/** What `holdfast ps --json` tells of a session; the schema is docs/schemas/ps.json. */
export type SessionRow = SessionInfo & {
  /** Path of the socket of its daemon. */
  readonly daemon: string;
  /** Of the tree and the strays; since the start of the session, or since the last look of a `--watch`. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
  readonly strays: readonly ShownProcess[];
  /** Requests of the agent for a permission that nobody has answered, the oldest first. */
  readonly waiting: readonly WaitingRequest[];
};

export interface RowWithProcesses {
  readonly row: SessionRow;
  readonly processes: SessionProcesses;
}

export interface Look {
  readonly trees: ProcessTrees;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** CPU seconds of a process at an earlier look, by {@link processKey}, and when that was; for rates. */
  readonly before?: { readonly at: number; readonly cpuSeconds: ReadonlyMap<string, number> } | undefined;
  /** Requests that wait, by the id of the session. */
  readonly waiting?: ReadonlyMap<string, readonly WaitingRequest[]> | undefined;
}

export function rowOf(session: SessionInfo, daemon: ReachedDaemon, runDirectory: string, look: Look): RowWithProcesses {
  const { id, pid, startTime } = session;
  const processes = look.trees.of({ id, pid, startTime, runDirectory });
  const all = [...processes.tree, ...processes.strays];
  const row = {
    ...session,
    daemon: daemon.socket,
    cpuPercent: percentOf(all, session, look),
    memoryBytes: all.reduce((sum, each) => sum + each.memoryBytes, 0),
    strays: processes.strays.map(shownProcess),
    waiting: look.waiting?.get(id) ?? [],
  };
  return { row, processes };
}

export function shownProcess(process: ListedProcess): ShownProcess {
  const [command = '', ...args] = process.words();
  return {
    pid: process.identity.pid,
    startTime: process.startSeconds,
    command: commandText(command, args),
  };
}

/** To a tenth of a percent of one core. */
function percentOf(all: readonly ListedProcess[], { spawnedAt }: SessionInfo, { at, before }: Look): number {
  const seconds = (at - (before?.at ?? spawnedAt)) / 1000;
  const used = all.reduce((sum, each) => sum + each.cpuSeconds - (before?.cpuSeconds.get(processKey(each)) ?? 0), 0);
  return seconds <= 0 ? 0 : Math.max(0, Math.round((1000 * used) / seconds) / 10);
}
