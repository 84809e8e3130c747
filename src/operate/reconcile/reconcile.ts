/** `holdfast reconcile`: compares what should be with what is, and ends what nobody holds (spec operators.md). */
import { hostname } from 'node:os';
import type { Platform } from '../../../platform/platform.ts';
import type { ProcessList } from '../../../platform/process-list.ts';
import { type EndResult, processKey } from '../../base/end-processes.ts';
import { printable } from '../../base/printable.ts';
import { shellWord } from '../../client/remote-command.ts';
import { answering, complainOf, printJson } from '../answer.ts';
import { confirm } from '../confirm.ts';
import type { DaemonWords } from '../daemon-options.ts';
import { daemonPlaces, reachDaemons } from '../daemons.ts';
import type { EndedListed } from '../end-trees.ts';
import { exitFailed, exitOk, exitPartly, exitRefused, exitUsage } from '../exit-codes.ts';
import { runThere } from '../over-ssh.ts';
import { ProcessTrees } from '../process-trees.ts';
import { type Column, screenWidth, startText, tableText } from '../table.ts';
import type { VerbContext } from '../verbs.ts';
import { endOrphans } from './end-orphans.ts';
import { ExpectationError, type ExpectedProcess, readExpected } from './expected.ts';
import { type Evidence, type Judged, judgeAll } from './judge.ts';
import { recordsIn } from './recorded.ts';

interface ReconcileWords extends DaemonWords {
  readonly expect?: string;
  readonly kill?: boolean;
  readonly adopt?: boolean;
  readonly grace?: number;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export interface ReconcileRow extends Omit<Judged, 'process'> {
  readonly action?: 'end' | undefined;
  readonly result?: EndResult | undefined;
  /** With `--adopt`: the command that reaches it. */
  readonly adopt?: string | undefined;
}

/** The agent CLI takes 1.4 s to end what it has started. */
const usualGraceMs = 5_000;

export function reconcile(_: readonly string[], words: ReconcileWords, context: VerbContext): Promise<number> {
  return answering('reconcile', context, async () => {
    let expected: readonly ExpectedProcess[];
    try {
      expected = words.expect === undefined ? [] : readExpected(words.expect);
    } catch (error) {
      if (error instanceof ExpectationError) {
        complainOf(context, 'reconcile', error.message);
        return exitUsage;
      }
      throw error;
    }
    return words.host === undefined
      ? reconcileHere(expected, words, context)
      : reconcileThere(words.host, words, context);
  });
}

async function reconcileHere(
  expected: readonly ExpectedProcess[],
  words: ReconcileWords,
  context: VerbContext,
): Promise<number> {
  const list = await (await context.clientPlatform()).processList();
  const platform = await context.platform();
  const tell = (text: string): void => complainOf(context, 'reconcile', text);
  const lookedAt = Date.now() / 1000;
  const judged = judgeAll(await evidenceOf(expected, words, context, { list, platform, tell }));
  const orphans = judged.filter(({ verdict }) => verdict === 'orphan');
  let rows: readonly ReconcileRow[] = judged.map((each) => rowOf(each, words));
  if (words.kill === true && orphans.length > 0) {
    const plan = `end ${orphans.length} orphaned ${orphans.length === 1 ? 'process' : 'processes'} and what is below: pid ${orphans.map(({ pid }) => pid).join(', ')}`;
    if (!(await isGranted(plan, words, context))) {
      return exitRefused;
    }
    const { processes } = platform;
    const graceMs = words.grace ?? usualGraceMs;
    rows = withResults(rows, judged, await endOrphans(orphans, lookedAt, { processes, list, graceMs }));
  }
  await printRows(rows, words, context);
  return exitCodeOf(rows);
}

async function isGranted(plan: string, { yes }: ReconcileWords, context: VerbContext): Promise<boolean> {
  return (await confirm(`holdfast reconcile: ${printable(plan)}`, yes, context)) === 'given';
}

interface Means {
  readonly list: ProcessList;
  readonly platform: Platform;
  tell(text: string): void;
}

async function evidenceOf(
  expected: readonly ExpectedProcess[],
  words: ReconcileWords,
  context: VerbContext,
  { list, platform, tell }: Means,
): Promise<Evidence> {
  // Sessions first: one that is started between the two looks is then of no daemon that was asked, but has its daemon as parent.
  const daemons = await reachDaemons(words, context, list.all());
  await daemons[Symbol.asyncDispose]();
  const { paths, childMarkers: markers } = platform;
  const sessions = daemons.reached.flatMap((daemon) =>
    daemon.sessions.map(({ id, pid, startTime, state }) => ({
      ...{ id, pid, startTime, isRunning: state !== 'exited', daemon: daemon.socket },
      runDirectory: paths.directoryOf(daemon.servedAs),
    })),
  );
  for (const { reason } of daemons.unreached) {
    tell(reason);
  }
  const places = await daemonPlaces(words, context, []);
  const directories = new Set(
    [...places, ...daemons.reached, ...daemons.unreached].map(({ servedAs }) => paths.directoryOf(servedAs)),
  );
  const recorded = markers === undefined ? [] : recordsIn([...directories], markers, tell);
  const all = list.all();
  return {
    ...{ trees: new ProcessTrees(all, list.user), all, user: list.user, node: list.node, markers },
    ...{ sessions, recorded, expected, hostName: hostname() },
    onlyRunDirectory:
      words.socket === undefined
        ? undefined
        : paths.directoryOf([...daemons.reached, ...daemons.unreached, ...places][0]?.servedAs ?? words.socket),
  };
}

function withResults(
  rows: readonly ReconcileRow[],
  judged: readonly Judged[],
  ended: readonly EndedListed[],
): readonly ReconcileRow[] {
  const results = new Map(ended.map((each) => [processKey(each.process), each]));
  const filled = rows.map((row, index): ReconcileRow => {
    const process = judged[index]?.process;
    const found = process === undefined ? undefined : results.get(processKey(process));
    if (found === undefined || process === undefined) {
      return row;
    }
    results.delete(processKey(process));
    return { ...row, action: 'end', result: found.result };
  });
  const below = [...results.values()].map(
    ({ process, result }): ReconcileRow => ({
      verdict: 'orphan',
      pid: process.identity.pid,
      startTime: process.startSeconds,
      reason: 'it belongs to an orphan',
      action: 'end',
      result,
    }),
  );
  return [...filled, ...below];
}

function rowOf(
  { process: _, verdict, pid, startTime, id, daemon, reason }: Judged,
  { adopt }: ReconcileWords,
): ReconcileRow {
  const way = adopt === true && verdict === 'live' && id !== undefined && daemon !== undefined;
  return {
    ...{ verdict, pid, startTime },
    ...(id === undefined ? {} : { id }),
    ...(daemon === undefined ? {} : { daemon }),
    reason,
    ...(way ? { adopt: `holdfast attach --socket ${shellWord(daemon)} -- ${shellWord(id)}` } : {}),
  };
}

function exitCodeOf(rows: readonly ReconcileRow[]): number {
  const isDone = (result: EndResult | undefined): boolean => ['ended', 'killed', 'gone'].includes(result ?? '');
  const isLeft = rows.some(({ verdict, result }) => verdict === 'unknown' || (verdict === 'orphan' && !isDone(result)));
  return isLeft ? exitPartly : exitOk;
}

async function reconcileThere(host: string, words: ReconcileWords, context: VerbContext): Promise<number> {
  if (words.expect !== undefined) {
    complainOf(context, 'reconcile', '--expect is read on the host itself: run holdfast reconcile --expect there');
    return exitUsage;
  }
  const options = [
    ...(words.adopt === true ? ['--adopt'] : []),
    ...(words.grace === undefined ? [] : ['--grace', `${words.grace}ms`]),
  ];
  const ask = (...more: readonly string[]) =>
    runThere(host, words, ['reconcile', ...options, ...more], context.environment);
  let answer = await ask();
  const orphans = (answer.document as readonly ReconcileRow[]).filter(({ verdict }) => verdict === 'orphan').length;
  if (words.kill === true && orphans > 0) {
    const plan = `on ${host}: end ${orphans} orphaned ${orphans === 1 ? 'process' : 'processes'} and what is below`;
    if (!(await isGranted(plan, words, context))) {
      return exitRefused;
    }
    answer = await ask('--kill', '--yes');
  }
  for (const note of answer.notes.split('\n').filter((line) => line !== '')) {
    complainOf(context, 'reconcile', `${host}: ${note}`);
  }
  await printRows(answer.document as readonly ReconcileRow[], words, context);
  return answer.exitCode === exitOk || answer.exitCode === exitPartly ? answer.exitCode : exitFailed;
}

// ---- the answer

const columns: readonly Column[] = [
  { title: 'VERDICT' },
  { title: 'PID', align: 'right' },
  { title: 'STARTED' },
  { title: 'ID', leastWidth: 8 },
  { title: 'REASON', leastWidth: 20 },
];

async function printRows(rows: readonly ReconcileRow[], { json }: ReconcileWords, context: VerbContext): Promise<void> {
  if (json === true) {
    printJson(context, rows);
    return;
  }
  if (rows.length === 0) {
    complainOf(context, 'reconcile', 'there is nothing to compare: no session, no record, no mark');
    return;
  }
  const cells = rows.map(({ verdict, pid, startTime, id = '', reason, result }) => [
    ...[result ?? verdict, String(pid), startTime === 0 ? '' : startText(startTime), id, reason],
  ]);
  context.print(await tableText(columns, cells, screenWidth(context.environment)));
  for (const { adopt } of rows) {
    if (adopt !== undefined) {
      context.print(`${printable(adopt)}\n`);
    }
  }
}
