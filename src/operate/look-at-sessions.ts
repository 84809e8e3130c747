/** One look at all sessions of all daemons, and at what their processes take (spec operators.md "ps"). */
import { dirname } from 'node:path';
import { processKey } from '../base/end-processes.ts';
import { HoldfastError } from '../client/index.ts';
import type { DaemonWords } from './daemon-options.ts';
import { type ReachedDaemon, reachDaemons, seenProcesses, type UnreachedDaemon } from './daemons.ts';
import { exitFailed, exitNone, exitOk, exitPartly } from './exit-codes.ts';
import { keyOf, lookForAllRequests, type SeenSession } from './look-for-requests.ts';
import { ProcessTrees } from './process-trees.ts';
import { type RowWithProcesses, rowOf, type WaitingRequest } from './session-rows.ts';
import type { VerbContext } from './verbs.ts';

export interface SessionsLook {
  readonly rows: readonly RowWithProcesses[];
  readonly reached: readonly ReachedDaemon[];
  readonly unreached: readonly UnreachedDaemon[];
  /** Why CPU, memory and strays are not known; `undefined`: they are. */
  readonly unseen: string | undefined;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** For the rates of the next look. */
  readonly cpuSeconds: ReadonlyMap<string, number>;
  /** What has been read of the sessions, by the socket of their daemon; the next look goes on behind it. */
  readonly requests: ReadonlyMap<string, ReadonlyMap<string, SeenSession>>;
}

/** @param before CPU percentages are those since that look; without it, since the start of each session */
export async function lookAtSessions(
  words: Pick<DaemonWords, 'socket'>,
  context: VerbContext,
  before?: SessionsLook,
): Promise<SessionsLook> {
  const { processList } = await context.clientPlatform();
  const list = await processList();
  const { processes, reason: unseen } = seenProcesses(list);
  const at = Date.now();
  const daemons = await reachDaemons(words, context, processes);
  const requests = await requestsOf(daemons.reached, before);
  await daemons[Symbol.asyncDispose]();
  const trees = new ProcessTrees(processes, list.user);
  const rows = daemons.reached.flatMap((daemon) => {
    const waiting = waitingOf(daemon, requests);
    return daemon.sessions.map((session) =>
      rowOf(session, daemon, dirname(daemon.servedAs), { trees, at, before, waiting }),
    );
  });
  const { reached, unreached } = daemons;
  return {
    rows,
    reached,
    unreached,
    unseen,
    at,
    requests,
    cpuSeconds: new Map(processes.map((each) => [processKey(each), each.cpuSeconds])),
  };
}

async function requestsOf(
  daemons: readonly ReachedDaemon[],
  before: SessionsLook | undefined,
): Promise<SessionsLook['requests']> {
  const found = daemons.map(async ({ socket, host, sessions }) => {
    try {
      return [socket, await lookForAllRequests(host, sessions, before?.requests.get(socket))] as const;
    } catch (error) {
      if (error instanceof HoldfastError) {
        // A daemon that goes away meanwhile has told its sessions, and nothing of what they wait for.
        return [socket, new Map<string, SeenSession>()] as const;
      }
      throw error;
    }
  });
  return new Map(await Promise.all(found));
}

/** By the id of the session. */
function waitingOf(
  { socket, sessions }: ReachedDaemon,
  requests: SessionsLook['requests'],
): ReadonlyMap<string, readonly WaitingRequest[]> {
  const seen = requests.get(socket);
  return new Map(
    sessions.map((session) => [
      session.id,
      (seen?.get(keyOf(session))?.requests.open ?? []).map(({ requestId, tool, since }) => ({
        requestId,
        tool,
        since,
      })),
    ]),
  );
}

/** For a verb that shows what it has found. */
export function exitCodeOf({ reached, unreached }: Pick<SessionsLook, 'reached' | 'unreached'>): number {
  if (reached.length > 0) {
    return unreached.length > 0 ? exitPartly : exitOk;
  }
  return unreached.every(({ kind }) => kind === 'refused') ? exitNone : exitFailed;
}

/** What the user should know about daemons that do not answer, one line each. */
export function notesOf({
  reached,
  unreached,
  unseen,
}: Pick<SessionsLook, 'reached' | 'unreached'> & Partial<Pick<SessionsLook, 'unseen'>>): string[] {
  const mute = reached.filter(({ description }) => description === undefined);
  const notes = [
    ...mute.map(({ socket }) => `the daemon at ${socket} tells nothing of its sessions; it has no holdfast.* methods`),
    ...unreached.map(({ reason, process }) =>
      process === undefined ? reason : `pid ${process.identity.pid}: ${reason}`,
    ),
    ...(unseen === undefined ? [] : [`CPU%, MEM and strays are not known: ${unseen}`]),
  ];
  return reached.length + unreached.length > 0
    ? notes
    : ['no daemon runs here; start one with holdfast -serve, or name it with --socket'];
}
