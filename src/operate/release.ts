/** `holdfast release`: ends sessions and forgets them, with what they have left (spec extensions.md §2, operators.md). */
import { dirname } from 'node:path';
import type { ListedProcess, ProcessList } from '../../platform/process-list.ts';
import { printable } from '../base/printable.ts';
import { runDirectoryMark, sessionMark } from '../base/session-mark.ts';
import { HoldfastError, type SessionInfo } from '../client/index.ts';
import { answering, complainOf, printJson } from './answer.ts';
import { commandText } from './command-text.ts';
import { confirm } from './confirm.ts';
import type { DaemonWords } from './daemon-options.ts';
import { type Daemons, type ReachedDaemon, reachDaemons } from './daemons.ts';
import { type EndedListed, type EndingOptions, endTrees } from './end-trees.ts';
import { exitFailed, exitNone, exitOk, exitPartly, exitRefused, exitUsage } from './exit-codes.ts';
import { endKeeper, type FoundKeeper, keepersAmong } from './keeper-end.ts';
import { notesOf } from './look-at-sessions.ts';
import { runThere } from './over-ssh.ts';
import { ProcessTrees } from './process-trees.ts';
import { rowOf, type SessionRow, shownProcess } from './session-rows.ts';
import { type Column, screenWidth, startText, tableText } from './table.ts';
import type { VerbContext } from './verbs.ts';

interface ReleaseWords extends DaemonWords {
  readonly all?: boolean;
  readonly ended?: boolean;
  readonly keeper?: boolean;
  readonly tree?: boolean;
  readonly timeout?: number;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** What became of one session, one process that it had left, or a keeper. */
export interface ReleaseRow {
  readonly what: 'session' | 'stray' | 'keeper';
  readonly id?: string;
  readonly pid: number;
  /** Seconds since the epoch. */
  readonly startTime: number;
  readonly daemon: string;
  readonly command: string;
  /** `forget`: it had ended before. */
  readonly action: 'end' | 'forget';
  /** `planned`: nothing was done. */
  readonly result: 'planned' | 'released' | 'ended' | 'killed' | 'gone' | 'refused' | 'survived' | 'failed';
  readonly reason?: string;
}

/** Strays get so long between TERM and KILL; the agent CLI takes 1.4 s to end its own. */
const strayGraceMs = 5_000;

interface Target {
  readonly daemon: ReachedDaemon;
  readonly session: SessionInfo;
  readonly row: SessionRow;
}

export function release(ids: readonly string[], words: ReleaseWords, context: VerbContext): Promise<number> {
  return answering('release', context, async () => {
    const chosen = [ids.length > 0, words.all === true, words.ended === true, words.keeper === true];
    if (chosen.filter((each) => each).length !== 1) {
      complainOf(context, 'release', 'name sessions by their ids, or give one of --all, --ended, --keeper');
      return exitUsage;
    }
    return words.host === undefined ? releaseHere(ids, words, context) : releaseThere(words.host, ids, words, context);
  });
}

async function releaseHere(ids: readonly string[], words: ReleaseWords, context: VerbContext): Promise<number> {
  const processList = await (await context.clientPlatform()).processList();
  const processes = processList.all();
  const daemons = await reachDaemons(words, context, processes);
  try {
    return await releaseAmong(daemons, ids, words, context, { list: processList, processes });
  } finally {
    await daemons[Symbol.asyncDispose]();
  }
}

interface Seen {
  readonly list: ProcessList;
  readonly processes: readonly ListedProcess[];
}

async function releaseAmong(
  daemons: Daemons,
  ids: readonly string[],
  words: ReleaseWords,
  context: VerbContext,
  { list, processes }: Seen,
): Promise<number> {
  const { paths } = await context.clientPlatform();
  const trees = new ProcessTrees(processes, list.user);
  const sessions = daemons.reached.flatMap((daemon) =>
    daemon.sessions.map((session): Target => {
      const { row } = rowOf(session, daemon, dirname(daemon.servedAs), { trees, at: Date.now() });
      return { daemon, session, row };
    }),
  );
  const missing = ids.filter((id) => !sessions.some(({ session }) => session.id === id));
  const doubled = ids.find((id) => sessions.filter(({ session }) => session.id === id).length > 1);
  if (doubled !== undefined) {
    const places = sessions.filter(({ session }) => session.id === doubled).map(({ daemon }) => daemon.socket);
    complainOf(context, 'release', `${doubled} is a session of ${places.join(' and of ')}; say which with --socket`);
    return exitRefused;
  }
  const targets = sessions.filter(({ session, daemon }) => isChosen(session, daemon, ids, words));
  const keepers =
    words.keeper === true
      ? keepersAmong(processes, list.user).filter(
          ({ socket }) => words.socket === undefined || paths.clean(socket) === paths.clean(words.socket),
        )
      : [];
  for (const id of missing) {
    complainOf(context, 'release', `there is no session ${id} here; holdfast ps --all shows them`);
  }
  // A daemon in front of a keeper that we find by itself need not answer.
  const isMissed = daemons.unreached.length > 0 && keepers.length === 0;
  if (isMissed) {
    for (const note of notesOf({ reached: [], unreached: daemons.unreached })) {
      complainOf(context, 'release', note);
    }
  }
  if (targets.length + keepers.length === 0) {
    await printRows([], words, context);
    if (missing.length === 0 && daemons.unreached.length === 0) {
      complainOf(context, 'release', 'there is nothing to release');
    }
    // A daemon that is there and does not answer may hold what is meant.
    return daemons.unreached.some(({ kind }) => kind !== 'refused') ? exitFailed : exitNone;
  }
  const planned = [
    ...targets.flatMap((target) => rowsOf(target, words, 'planned')),
    ...keepers.map((keeper) => keeperRow(keeper, 'planned')),
  ];
  if (words.dryRun === true) {
    await printRows(planned, words, context);
    return missing.length > 0 ? exitPartly : exitOk;
  }
  if (!(await isGranted(planText(planned, targets, words), words, context))) {
    return exitRefused;
  }
  const platform = await context.platform();
  const ending = { processes: platform.processes, list, graceMs: strayGraceMs };
  const done = await Promise.all(targets.map((target) => releaseOne(target, words, ending)));
  const rows = done.flat();
  for (const keeper of keepers) {
    const { result, reason, children } = await endKeeper(keeper, platform, ending);
    rows.push({ ...keeperRow(keeper, result), ...(reason === undefined ? {} : { reason }) });
    rows.push(...children.map((child) => strayRow(child, keeper.socket)));
  }
  await printRows(rows, words, context);
  const isDone = rows.every(({ result }) => ['released', 'ended', 'killed', 'gone'].includes(result));
  if (rows.every(({ result }) => result === 'refused')) {
    return exitRefused;
  }
  return isDone && missing.length === 0 && !isMissed ? exitOk : exitPartly;
}

function isChosen(
  session: SessionInfo,
  { description }: ReachedDaemon,
  ids: readonly string[],
  { all, ended, keeper }: ReleaseWords,
): boolean {
  if (keeper === true) {
    return description?.durable === true;
  }
  return all === true || (ended === true ? session.state === 'exited' : ids.includes(session.id));
}

async function isGranted(plan: string, { yes }: ReleaseWords, context: VerbContext): Promise<boolean> {
  return (await confirm(`holdfast release: ${printable(plan)}`, yes, context)) === 'given';
}

function planText(
  planned: readonly ReleaseRow[],
  targets: readonly Target[],
  { tree }: Pick<ReleaseWords, 'tree'>,
): string {
  const running = planned.filter(({ what, action }) => what === 'session' && action === 'end').length;
  const ended = planned.filter(({ what, action }) => what === 'session' && action === 'forget').length;
  const keepers = planned.filter(({ what }) => what === 'keeper').length;
  const strays = targets.reduce((sum, { row }) => sum + row.strays.length, 0);
  const parts = [
    ...(running > 0 ? [`end ${counted(running, 'running session')}`] : []),
    ...(ended > 0 ? [`forget ${counted(ended, 'ended session')}`] : []),
    ...(strays > 0 && tree === true ? [`end ${counted(strays, 'process', 'processes')} that they have left`] : []),
    ...(keepers > 0 ? [`kill ${counted(keepers, 'keeper')}`] : []),
  ];
  const left = strays > 0 && tree !== true ? ` (${counted(strays, 'stray')} will be left; --tree ends them too)` : '';
  const names =
    targets.length > 0 && targets.length <= 5 ? `: ${targets.map(({ session }) => session.id).join(', ')}` : '';
  return `${parts.join(', ')}${names}${left}`;
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

// ---- rows

function sessionRow({ session, row }: Target, result: ReleaseRow['result'], reason?: string): ReleaseRow {
  const { id, pid, startTime, state } = session;
  return {
    ...{ what: 'session', id, pid, startTime, daemon: row.daemon },
    command: commandText(session.command, session.args),
    action: state === 'exited' ? 'forget' : 'end',
    result,
    ...(reason === undefined ? {} : { reason }),
  };
}

function rowsOf(target: Target, { tree }: ReleaseWords, result: 'planned'): ReleaseRow[] {
  const strays = tree === true ? target.row.strays : [];
  const { id } = target.session;
  return [
    sessionRow(target, result),
    ...strays.map(
      (stray): ReleaseRow => ({
        ...{ what: 'stray', id, ...stray, daemon: target.row.daemon, action: 'end', result },
      }),
    ),
  ];
}

function strayRow({ process, result }: EndedListed, daemon: string, id?: string): ReleaseRow {
  const what = id === undefined ? {} : { id };
  return { what: 'stray', ...what, ...shownProcess(process), daemon, action: 'end', result };
}

function keeperRow({ process, socket }: FoundKeeper, result: ReleaseRow['result']): ReleaseRow {
  return { what: 'keeper', ...shownProcess(process), daemon: socket, action: 'end', result };
}

// ---- doing it

async function releaseOne(target: Target, words: ReleaseWords, ending: EndingOptions): Promise<ReleaseRow[]> {
  const { daemon, session } = target;
  const { id, startTime } = session;
  // Seen before the end: a process without mark that is below it now cannot be found afterwards.
  const trees = new ProcessTrees(ending.list.all(), ending.list.user);
  const owner = { id, pid: session.pid, startTime, runDirectory: dirname(daemon.servedAs) };
  const before = trees.of(owner);
  const rows: ReleaseRow[] = [];
  try {
    const timeout = words.timeout === undefined ? {} : { timeoutMs: words.timeout };
    const { released } = (await daemon.host.request('holdfast.release', { id, ...timeout })) as { released: number };
    rows.push(sessionRow(target, released === 1 ? 'released' : 'survived'));
  } catch (error) {
    if (!(error instanceof HoldfastError)) {
      throw error;
    }
    rows.push(sessionRow(target, 'failed', error.message));
  }
  if (words.tree !== true) {
    return rows;
  }
  const mark = sessionMark(runDirectoryMark(owner.runDirectory), id);
  // A later process of the same id has the same mark: only what was started before the release belongs to this one.
  const until = Date.now() / 1000;
  const ended = await endTrees(
    {
      known: [...before.tree.filter((each) => each !== before.root), ...before.strays],
      more: (now) => now.carrying(mark).filter((each) => each.startSeconds >= startTime && each.startSeconds <= until),
    },
    ending,
  );
  return [
    ...rows,
    ...ended.filter(({ result }) => result !== 'gone').map((each) => strayRow(each, target.row.daemon, id)),
  ];
}

// ---- on another host

async function releaseThere(
  host: string,
  ids: readonly string[],
  words: ReleaseWords,
  context: VerbContext,
): Promise<number> {
  const options = [
    ...(['all', 'ended', 'keeper', 'tree'] as const).flatMap((name) => (words[name] === true ? [`--${name}`] : [])),
    ...(words.timeout === undefined ? [] : ['--timeout', `${words.timeout}ms`]),
    ...(ids.length > 0 ? ['--', ...ids] : []),
  ];
  const ask = (...more: readonly string[]) => runThere(host, words, ['release', ...more], context.environment, options);
  const planned = await ask('--dry-run');
  const rows = planned.document as readonly ReleaseRow[];
  const isToBeDone = words.dryRun !== true && rows.length > 0;
  if (isToBeDone) {
    const plan = `on ${host}: end or forget ${counted(rows.length, 'session, keeper or process', 'sessions, keepers and processes')}`;
    if (!(await isGranted(plan, words, context))) {
      return exitRefused;
    }
  }
  const answer = isToBeDone ? await ask('--yes') : planned;
  for (const note of answer.notes.split('\n').filter((line) => line !== '')) {
    complainOf(context, 'release', `${host}: ${note}`);
  }
  await printRows(answer.document as readonly ReleaseRow[], words, context);
  return answer.exitCode;
}

// ---- the answer

const columns: readonly Column[] = [
  { title: 'WHAT' },
  { title: 'ID', leastWidth: 8 },
  { title: 'PID', align: 'right' },
  { title: 'STARTED' },
  { title: 'RESULT' },
  { title: 'COMMAND', leastWidth: 8 },
];

async function printRows(rows: readonly ReleaseRow[], { json }: ReleaseWords, context: VerbContext): Promise<void> {
  if (json === true) {
    printJson(context, rows);
  } else if (rows.length > 0) {
    const cells = rows.map(({ what, id = '', pid, startTime, result, reason, command }) => [
      ...[what, id, String(pid), startText(startTime), reason === undefined ? result : `${result}: ${reason}`, command],
    ]);
    context.print(await tableText(columns, cells, screenWidth(context.environment)));
  }
}
