/** `holdfast why`: when a process was started, who asked for its end, and how it ended (spec operators.md). */
import type { ListedProcess } from '../../../platform/process-list.ts';
import { HoldfastError, type SessionInfo } from '../../client/index.ts';
import { answering, complainOf, printJson } from '../answer.ts';
import { commandText } from '../command-text.ts';
import type { DaemonWords } from '../daemon-options.ts';
import { type Daemons, daemonPlaces, type ReachedDaemon, reachDaemons } from '../daemons.ts';
import { exitFailed, exitNone, exitOk, exitRefused } from '../exit-codes.ts';
import { runThere } from '../over-ssh.ts';
import { ProcessTrees } from '../process-trees.ts';
import { recordsIn } from '../reconcile/recorded.ts';
import { shownProcess } from '../session-rows.ts';
import type { VerbContext } from '../verbs.ts';
import { type Cause, causeOf, causeText, type KnownEnd } from './cause.ts';
import { type LogStory, readLog, storyOf } from './from-log.ts';
import { markedProcess, recordOf } from './from-processes.ts';
import { oomLine } from './kernel.ts';
import { type LastWords, lastWordsOf } from './last-words.ts';
import { whyText } from './text.ts';

interface WhyWords extends DaemonWords {
  readonly json?: boolean;
}

/** The JSON; the schema is docs/schemas/why.json. Times are milliseconds since the epoch, `startTime` is in seconds. */
export interface Explanation extends LastWords {
  readonly id: string;
  readonly pid: number;
  /** Missing where only the log tells of it. */
  readonly startTime?: number | undefined;
  readonly daemon: string;
  readonly command: string;
  /** What its starter called itself. */
  readonly door?: string | undefined;
  readonly startedAt: number;
  readonly state: 'running' | 'ended';
  readonly cause: Cause;
  /** The cause in words. */
  readonly reason: string;
  readonly exitedAt?: number | undefined;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly asked?: KnownEnd['asked'];
  readonly paced: boolean;
  /** What the answer was made of. */
  readonly sources: readonly ('daemon' | 'log' | 'record' | 'kernel' | 'processes')[];
  /** Lines of the daemon's log about it. */
  readonly log: readonly string[];
}

export function why([idOrPid = '']: readonly string[], words: WhyWords, context: VerbContext): Promise<number> {
  return answering('why', context, async () => {
    if (words.host !== undefined) {
      const { document, exitCode, notes } = await runThere(words.host, words, ['why'], context.environment, [
        '--',
        idOrPid,
      ]);
      for (const note of notes.split('\n').filter((line) => line !== '')) {
        complainOf(context, 'why', note);
      }
      print(document as readonly Explanation[], words, context);
      return exitCode;
    }
    return whyHere(idOrPid, words, context);
  });
}

async function whyHere(idOrPid: string, words: WhyWords, context: VerbContext): Promise<number> {
  const list = await (await context.clientPlatform()).processList();
  const processes = list.all();
  const daemons = await reachDaemons(words, context, processes);
  try {
    for (const { reason } of daemons.unreached.filter(({ kind }) => kind !== 'refused')) {
      complainOf(context, 'why', reason);
    }
    const held = await fromDaemons(daemons, idOrPid, context);
    const places = await placesOf(daemons, words, context);
    const told = held.length > 0 ? held : await fromLogs(places, idOrPid, context, processes);
    const found = told.length > 0 ? told : await fromWhatIsLeft(places, idOrPid, context, processes);
    print(found, words, context);
    if (found.length === 0) {
      complainOf(context, 'why', `neither a daemon nor a log here tells of ${idOrPid}`);
      // A daemon that is there and does not answer may know of it.
      return daemons.unreached.some(({ kind }) => kind !== 'refused') ? exitFailed : exitNone;
    }
    if (found.length > 1) {
      const places = found.map(({ daemon }) => daemon).join(', ');
      complainOf(context, 'why', `${found.length} daemons have had ${idOrPid} (${places}); name one with --socket`);
      return exitRefused;
    }
    return exitOk;
  } finally {
    await daemons[Symbol.asyncDispose]();
  }
}

// ---- sessions that a daemon holds

async function fromDaemons(daemons: Daemons, idOrPid: string, context: VerbContext): Promise<readonly Explanation[]> {
  const all = daemons.reached.flatMap((daemon) => daemon.sessions.map((session) => ({ daemon, session })));
  const byId = all.filter(({ session }) => session.id === idOrPid);
  const chosen = byId.length > 0 ? byId : all.filter(({ session }) => String(session.pid) === idOrPid);
  return Promise.all(chosen.map(({ daemon, session }) => explained(daemon, session, context)));
}

async function explained(daemon: ReachedDaemon, session: SessionInfo, context: VerbContext): Promise<Explanation> {
  const { id, pid, startTime, command, args, door, spawnedAt: startedAt, paced } = session;
  const asked = await askedOf(daemon, session);
  const { paths } = await context.clientPlatform();
  const story = storyOf(readLog(paths.directoryOf(daemon.servedAs)), id);
  const { exitedAt, exitCode, signal } = session;
  const exit = exitedAt === undefined ? undefined : { at: exitedAt, code: exitCode ?? 0, signal };
  const known = await withKernel({ exit, asked, oom: undefined }, { pid, startedAt }, context);
  const cause = causeOf(known);
  return {
    ...{ id, pid, startTime, daemon: daemon.socket, command: commandText(command, args), door, startedAt },
    ...{ state: exit === undefined ? 'running' : 'ended', cause, reason: causeText(cause, known) },
    ...{ exitedAt, exitCode, signal, asked, paced },
    ...(await lastWordsOf(daemon.host, session)),
    sources: ['daemon', ...(known.oom === undefined ? [] : (['kernel'] as const))],
    log: story?.pid === pid ? story.lines : [],
  };
}

/** An older daemon does not tell it. */
async function askedOf({ host }: ReachedDaemon, { id, pid }: SessionInfo): Promise<KnownEnd['asked']> {
  try {
    const { sessions } = await host.request('holdfast.sessions', { ends: true });
    return sessions.find((each) => each.id === id && each.pid === pid)?.endAsked;
  } catch (error) {
    if (error instanceof HoldfastError) {
      return undefined;
    }
    throw error;
  }
}

async function withKernel(
  known: KnownEnd,
  { pid, startedAt }: { readonly pid: number; readonly startedAt: number },
  context: VerbContext,
): Promise<KnownEnd> {
  const { exit } = known;
  if (exit?.signal !== 'SIGKILL' || causeOf(known) !== 'signal') {
    return known;
  }
  const { processes } = await context.platform();
  const oom = await oomLine(processes, context.environment, { pid, from: startedAt, until: exit.at });
  return { ...known, oom };
}

// ---- sessions that are forgotten, or whose daemon is gone

interface Place {
  readonly runDirectory: string;
  readonly socket: string;
  /** Whether a daemon runs there. */
  readonly isServed: boolean;
}

async function placesOf(daemons: Daemons, words: WhyWords, context: VerbContext): Promise<readonly Place[]> {
  const { paths } = await context.clientPlatform();
  const all = [...daemons.reached, ...daemons.unreached, ...(await daemonPlaces(words, context, []))];
  const found = new Map<string, Place>();
  for (const { servedAs, socket, process } of all) {
    const runDirectory = paths.directoryOf(servedAs);
    if (!found.has(runDirectory)) {
      found.set(runDirectory, { runDirectory, socket, isServed: process !== undefined });
    }
  }
  return [...found.values()];
}

async function fromLogs(
  places: readonly Place[],
  idOrPid: string,
  context: VerbContext,
  processes: readonly ListedProcess[],
): Promise<readonly Explanation[]> {
  const found = places.flatMap((place) => {
    const story = storyOf(readLog(place.runDirectory), idOrPid);
    return story === undefined ? [] : [{ story, place }];
  });
  return Promise.all(
    found.map(({ story, place: { socket, isServed } }) => fromStory(story, socket, { isServed, processes }, context)),
  );
}

async function fromWhatIsLeft(
  places: readonly Place[],
  idOrPid: string,
  context: VerbContext,
  processes: readonly ListedProcess[],
): Promise<readonly Explanation[]> {
  const platform = await context.platform();
  const list = await (await context.clientPlatform()).processList();
  const trees = new ProcessTrees(processes, list.user);
  const { childMarkers: markers } = platform;
  return places.flatMap(({ runDirectory, socket }): Explanation[] => {
    const records = markers === undefined ? [] : recordsIn([runDirectory], markers, () => {});
    const record = recordOf(
      idOrPid,
      records.map((each) => each.record),
    );
    const marked = markedProcess(idOrPid, runDirectory, trees);
    const process =
      marked ??
      processes.find(({ identity }) => identity.pid === record?.pid && markers?.startOf(record.pid) === record.start);
    if (process === undefined && record === undefined) {
      return [];
    }
    return [
      {
        ...{ id: idOrPid, pid: process?.identity.pid ?? Number(idOrPid), startTime: process?.startSeconds },
        ...{ daemon: socket, command: process === undefined ? (record?.argv0 ?? '') : shownProcess(process).command },
        startedAt: record?.at ?? Math.round(1000 * (process?.startSeconds ?? 0)),
        ...{
          state: process === undefined ? 'ended' : 'running',
          cause: process === undefined ? 'daemon-crash' : 'running',
        },
        reason:
          process === undefined
            ? causeText('daemon-crash', { exit: undefined, asked: undefined, oom: undefined })
            : heldText(process, processes),
        ...{ paced: false, stderr: [], gaps: [], log: [] },
        sources: [
          ...(record === undefined ? [] : (['record'] as const)),
          ...(process === undefined ? [] : (['processes'] as const)),
        ],
      },
    ];
  });
}

/** A line of the log is written right after the start, and its time has whole seconds. */
const startSlackSeconds = 3;

async function fromStory(
  story: LogStory,
  daemon: string,
  { isServed, processes }: { readonly isServed: boolean; readonly processes: readonly ListedProcess[] },
  context: VerbContext,
): Promise<Explanation> {
  const { id, pid, startedAt, command, exit, hasShutDown, lines } = story;
  const asked = story.asked === undefined ? undefined : { ...story.asked, escalatedAt: story.escalatedAt };
  const process = processes.find(
    ({ identity, startSeconds }) =>
      identity.pid === pid && Math.abs(startSeconds - startedAt / 1000) < startSlackSeconds,
  );
  const known = await withKernel({ exit, asked, oom: undefined }, { pid, startedAt }, context);
  const cause =
    exit === undefined && process === undefined ? unseenEnd({ hasShutDown, isServed, asked }) : causeOf(known);
  return {
    ...{ id, pid, startTime: process?.startSeconds, daemon, command, startedAt },
    state: process === undefined ? 'ended' : 'running',
    cause,
    reason: process === undefined ? causeText(cause, known) : heldText(process, processes),
    ...{ exitedAt: exit?.at, exitCode: exit?.code, signal: exit?.signal, asked, paced: false },
    ...{ stderr: [], gaps: [] },
    sources: [
      'log',
      ...(known.oom === undefined ? [] : (['kernel'] as const)),
      ...(process === undefined ? [] : (['processes'] as const)),
    ],
    log: lines,
  };
}

/** The log does not tell of the end of a process that is gone. */
function unseenEnd({
  hasShutDown,
  isServed,
  asked,
}: {
  readonly hasShutDown: boolean;
  readonly isServed: boolean;
  readonly asked: KnownEnd['asked'];
}): Cause {
  if (asked !== undefined) {
    return asked.by as Cause;
  }
  if (hasShutDown) {
    return 'shutdown';
  }
  return isServed ? 'unknown' : 'daemon-crash';
}

function heldText(process: ListedProcess, processes: readonly ListedProcess[]): string {
  const holder = new ProcessTrees(processes, process.user).holderOf(process);
  return holder === undefined
    ? 'it runs, and nobody holds it: its daemon is gone (holdfast reconcile)'
    : `it runs, held by pid ${holder.identity.pid}`;
}

function print(found: readonly Explanation[], { json }: WhyWords, context: VerbContext): void {
  if (json === true) {
    printJson(context, found);
  } else {
    context.print(found.map((each) => whyText(each)).join('\n'));
  }
}
