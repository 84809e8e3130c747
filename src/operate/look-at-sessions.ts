/** One look at all sessions of all daemons, and at what their processes take (spec operators.md "ps"). */
import { dirname } from 'node:path';
import type { DaemonWords } from './daemon-options.ts';
import { type ReachedDaemon, reachDaemons, type UnreachedDaemon } from './daemons.ts';
import { exitFailed, exitNone, exitOk, exitPartly } from './exit-codes.ts';
import { ProcessTrees } from './process-trees.ts';
import { processKey, type RowWithProcesses, rowOf } from './session-rows.ts';
import type { VerbContext } from './verbs.ts';

export interface SessionsLook {
  readonly rows: readonly RowWithProcesses[];
  readonly reached: readonly ReachedDaemon[];
  readonly unreached: readonly UnreachedDaemon[];
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** For the rates of the next look. */
  readonly cpuSeconds: ReadonlyMap<string, number>;
}

/** @param before CPU percentages are those since that look; without it, since the start of each session */
export async function lookAtSessions(
  words: Pick<DaemonWords, 'socket'>,
  context: VerbContext,
  before?: SessionsLook,
): Promise<SessionsLook> {
  const { processList } = await context.clientPlatform();
  const list = await processList();
  const processes = list.all();
  const at = Date.now();
  const daemons = await reachDaemons(words, context, processes);
  await daemons[Symbol.asyncDispose]();
  const trees = new ProcessTrees(processes, list.user);
  const rows = daemons.reached.flatMap((daemon) =>
    daemon.sessions.map((session) => rowOf(session, daemon, dirname(daemon.servedAs), { trees, at, before })),
  );
  const { reached, unreached } = daemons;
  return {
    rows,
    reached,
    unreached,
    at,
    cpuSeconds: new Map(processes.map((each) => [processKey(each), each.cpuSeconds])),
  };
}

/** For a verb that shows what it has found. */
export function exitCodeOf({ reached, unreached }: Pick<SessionsLook, 'reached' | 'unreached'>): number {
  if (reached.length > 0) {
    return unreached.length > 0 ? exitPartly : exitOk;
  }
  return unreached.every(({ kind }) => kind === 'refused') ? exitNone : exitFailed;
}

/** What the user should know about daemons that do not answer, one line each. */
export function notesOf({ reached, unreached }: Pick<SessionsLook, 'reached' | 'unreached'>): string[] {
  const mute = reached.filter(({ description }) => description === undefined);
  const notes = [
    ...mute.map(({ socket }) => `the daemon at ${socket} tells nothing of its sessions; it has no holdfast.* methods`),
    ...unreached.map(({ reason, process }) =>
      process === undefined ? reason : `pid ${process.identity.pid}: ${reason}`,
    ),
  ];
  return reached.length + unreached.length > 0
    ? notes
    : ['no daemon runs here; start one with holdfast -serve, or name it with --socket'];
}
