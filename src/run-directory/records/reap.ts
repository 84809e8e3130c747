/**
 * Ends what a dead daemon of this run directory has left running (spec platform.md §2 "Child markers, records, reap").
 * A record only names a candidate: a signal is sent when the live process itself proves to be that child.
 */
import { basename } from 'node:path';
import {
  type ChildMarkers,
  childVariable,
  type HeldGroup,
  type ProcessEvidence,
  type RecordFolder,
  runDirVariable,
  sessionMarkVariable,
} from '../../../platform/child-markers.ts';
import type { Paths } from '../../../platform/paths.ts';
import type { Processes } from '../../../platform/processes.ts';
import { reportOf } from '../../base/error-texts.ts';
import { failpointAsync } from '../../base/failpoints.ts';
import type { Log } from '../../base/log.ts';
import { clockSeconds } from '../../base/session-leftovers.ts';
import type { MarkedChild } from '../../base/session-mark.ts';
import type { Timings } from '../../base/timings.ts';
import { recordFolderName } from '../names.ts';
import { type End, endGroup } from './end-group.ts';
import { bootOf, type ChildRecord, maxRecordBytes, parseRecord, recordName } from './record.ts';
import { whyUnusable } from './unusable.ts';

/** The most records that one round looks at, and the most groups that it ends. A start has one round; the others wait for the next. */
const maxRecords = 128;
const maxGroups = 64;

export interface ReapOptions {
  readonly markers: ChildMarkers;
  readonly processes: Processes;
  readonly paths: Paths;
  /** Folder of the socket path, as the children see it in their environment. */
  readonly runDirectory: string;
  readonly log: Log;
  readonly timings: Pick<Timings, 'reapTermMs' | 'reapKillMs' | 'reapPollMs' | 'reapSecondLookMs'>;
  /** `all`: round after round until no record is left that can be dealt with; nobody else will look soon. */
  readonly rounds: 'one' | 'all';
  /** To be ended where no record names them: a disk may have been full. */
  readonly unrecorded?: readonly MarkedChild[];
}

/** A process that has proved to be a child of a dead daemon. */
interface Orphan {
  /** `undefined`: there is none. */
  readonly file: string | undefined;
  readonly record: ChildRecord;
  readonly group: HeldGroup;
}

type Verdict =
  | { readonly orphan: HeldGroup }
  /** The record can never again be that of a child to end. */
  | { readonly stale: string }
  /** Another daemon may still need the record. */
  | { readonly keep: string };

/**
 * Never fails: whatever goes wrong, the daemon starts. The caller must hold the lock of the run directory.
 * @returns how many groups were ended
 */
export async function reapChildren(options: ReapOptions): Promise<number> {
  const done = new Set<string>();
  const recorded = await reapRecorded(done, options);
  return recorded + (await endUnrecorded(done, options));
}

async function reapRecorded(done: Set<string>, options: ReapOptions): Promise<number> {
  const { markers, runDirectory, paths, log } = options;
  let folder: ReturnType<ChildMarkers['openRecords']>;
  try {
    folder = markers.openRecords(runDirectory, recordFolderName, { create: false });
  } catch (error) {
    log.warn('process.Registry', `${whyUnusable(error, runDirectory, paths)}; reaping nothing`);
    return 0;
  }
  if (folder === 'notADirectory') {
    log.error('process.Registry', `${runDirectory}/${recordFolderName} is not a directory; reaping nothing`);
  }
  if (typeof folder !== 'object') {
    return 0;
  }
  let ended = 0;
  try {
    for (let isMore = true; isMore; ) {
      const round = await reapRound(folder, done, options);
      ended += round.ended;
      isMore = round.isMore && options.rounds === 'all';
    }
    return ended;
  } catch (error) {
    log.error('process.Registry', `reaping stopped: ${reportOf(error)}`);
    return ended;
  } finally {
    folder.close();
  }
}

/** @param done the files that were looked at */
async function endUnrecorded(done: ReadonlySet<string>, options: ReapOptions): Promise<number> {
  const left = (options.unrecorded ?? []).filter(({ pid }) => !done.has(recordName(pid)));
  let ended = 0;
  for (let at = 0; at < left.length; at += maxGroups) {
    const orphans = left.slice(at, at + maxGroups).flatMap((child) => unrecordedOrphan(child, options) ?? []);
    const ends = await Promise.all(orphans.map((orphan) => endOrphan(orphan, options)));
    ended += ends.filter((end) => end !== 'survived').length;
  }
  return ended;
}

function unrecordedOrphan({ pid, startSeconds, mark }: MarkedChild, options: ReapOptions): Orphan | undefined {
  const { markers, processes } = options;
  const group = markers.holdGroup(pid);
  const found = group.leader();
  const record: ChildRecord = {
    ...{ pid, node: processes.self().node ?? '', host: markers.host, instance: '', daemonPid: 0, daemonStart: '' },
    ...{ argv0: '', session: mark, start: found?.start ?? '', at: 0 },
  };
  if (
    Math.abs(processes.startSeconds(pid) - startSeconds) <= clockSeconds &&
    refusal(found, record, options) === undefined
  ) {
    return { file: undefined, record, group };
  }
  group.release();
  return undefined;
}

interface Round {
  /** Groups. */
  readonly ended: number;
  /** There are more records, or more groups, than one round deals with. */
  readonly isMore: boolean;
}

/** @param done the files that need no further look; grows */
async function reapRound(folder: RecordFolder, done: Set<string>, options: ReapOptions): Promise<Round> {
  const orphans: Orphan[] = [];
  /** Groups beyond those that one round ends. */
  let left = 0;
  const count = { dropped: 0, kept: 0, term: 0, kill: 0, survived: 0 };
  const drop = (file: string): boolean => {
    const dropped = folder.remove(file) === undefined;
    if (dropped) {
      count.dropped++;
    } else {
      count.kept++;
    }
    return dropped;
  };
  const consider = (file: string): void => {
    done.add(file);
    const text = folder.read(file, maxRecordBytes);
    const record = text === undefined ? undefined : parseRecord(file, text);
    if (record === undefined) {
      const how = drop(file) ? 'dropping it' : 'it cannot be removed';
      options.log.warn('process.Registry', `record ${file}: it is no record of a child; ${how}, signalling nothing`);
      return;
    }
    const verdict = judge(record, options);
    if ('orphan' in verdict && orphans.length === maxGroups) {
      verdict.orphan.release();
      done.delete(file);
      count.kept++;
      left++;
    } else if ('orphan' in verdict) {
      orphans.push({ file, record, group: verdict.orphan });
    } else if ('stale' in verdict) {
      const { pid } = record;
      options.log.info(
        'process.Registry',
        `record ${file}: pid ${pid} is not a child to end (${verdict.stale}); dropping the record, signalling nothing`,
      );
      drop(file);
    } else {
      options.log.info('process.Registry', `record ${file}: kept (${verdict.keep})`);
      count.kept++;
    }
  };
  const { files, isAll } = recordFiles(folder, done, options);
  for (const file of files) {
    try {
      consider(file);
    } catch (error) {
      // The children of the other records must end whatever is wrong with this one.
      options.log.error('process.Registry', `record ${file}: kept (${reportOf(error)})`);
      count.kept++;
    }
  }
  if (left > 0) {
    options.log.warn(
      'process.Registry',
      `${left} more orphaned group(s) recorded in ${options.runDirectory}/${recordFolderName} than the ${maxGroups} one ${turnOf(options)} ends; leaving those for the next ${turnOf(options)}`,
    );
  }
  await Promise.all(
    orphans.map(async (orphan) => {
      const end = await endOrphan(orphan, options).catch((error: unknown): End => {
        options.log.error(
          'process.Registry',
          `record ${orphan.file}: its group could not be ended: ${reportOf(error)}`,
        );
        return 'survived';
      });
      count[end]++;
      // A group that survived keeps its record, so that the next start tries again.
      if (end !== 'survived' && orphan.file !== undefined) {
        folder.remove(orphan.file);
      }
    }),
  );
  const round = { ended: count.term + count.kill, isMore: left > 0 || !isAll };
  if (orphans.length + count.kept === 0) {
    return round;
  }
  options.log.info(
    'daemon',
    `serve: predecessor's children \u2014 ${orphans.length} orphaned group(s): ${count.term} ended on SIGTERM, ` +
      `${count.kill} on SIGKILL, ${count.survived} survived; ${count.dropped} stale record(s) dropped, ${count.kept} kept`,
  );
  return round;
}

/** For whom the rest is left, in words. */
function turnOf({ rounds }: ReapOptions): string {
  return rounds === 'one' ? 'start' : 'round';
}

/** Half-written records of a daemon that died meanwhile are removed on the way. */
function recordFiles(
  folder: RecordFolder,
  done: Set<string>,
  options: ReapOptions,
): { readonly files: readonly string[]; readonly isAll: boolean } {
  const { log, runDirectory } = options;
  let isAll = true;
  const names: string[] = [];
  const halfWritten: string[] = [];
  for (const name of folder.names()) {
    if (done.has(name)) {
      continue;
    }
    if (name.endsWith('.json')) {
      if (names.length === maxRecords) {
        log.warn(
          'process.Registry',
          `more than ${maxRecords} records in ${runDirectory}/${recordFolderName}; leaving the rest for the next ${turnOf(options)}`,
        );
        isAll = false;
        break;
      }
      names.push(name);
    } else if (name.startsWith('.rec-')) {
      halfWritten.push(name);
    }
    if (halfWritten.length === maxRecords) {
      isAll = false;
      break;
    }
  }
  for (const name of halfWritten) {
    done.add(name);
    folder.remove(name);
  }
  return { files: names, isAll };
}

function judge(record: ChildRecord, options: ReapOptions): Verdict {
  const { markers, processes } = options;
  const { node = '' } = processes.self();
  if (record.host !== markers.host) {
    return { keep: `it belongs to another host, "${record.host}"` };
  }
  if (record.node === '' && node !== '') {
    return { stale: 'it does not say in which boot it was started' };
  }
  if (record.node !== node) {
    const boot = bootOf(record.node);
    return boot !== '' && boot === bootOf(node)
      ? { keep: 'it belongs to another pid namespace' }
      : { stale: 'it was started before this boot' };
  }
  if (markers.startOf(record.daemonPid) === record.daemonStart) {
    return { keep: `its daemon, pid ${record.daemonPid}, is alive` };
  }
  const group = markers.holdGroup(record.pid);
  const reason = refusal(group.leader(), record, options);
  if (reason === undefined) {
    return { orphan: group };
  }
  group.release();
  return { stale: reason };
}

/** Why the process is not the recorded child; `undefined`: everything matches. */
function refusal(
  found: ProcessEvidence | undefined,
  record: ChildRecord,
  { markers, runDirectory, paths }: ReapOptions,
): string | undefined {
  if (found === undefined) {
    return 'there is no such process';
  }
  if (found.start !== record.start) {
    return `it did not start at the recorded "${record.start}": the pid has been reused`;
  }
  if (found.user !== markers.user) {
    return `it runs as user ${found.user}, not as user ${markers.user}`;
  }
  if (!found.leadsGroup) {
    return 'it does not lead its own process group';
  }
  if (record.session !== undefined) {
    return found.variable(sessionMarkVariable) === record.session
      ? undefined
      : `it is not marked as of that session: no ${sessionMarkVariable} says "${record.session}"`;
  }
  if (!runs(found.words, record)) {
    const { argv0, program } = record;
    const handed = program === undefined ? '' : ` and neither runs nor was handed "${program}"`;
    return `it does not run the recorded program "${argv0}"${handed}`;
  }
  const unreadable = found.environmentError?.();
  if (unreadable !== undefined) {
    return `environment unreadable: ${paths.reason(unreadable)}`;
  }
  const startedFor = found.variable(runDirVariable);
  if (startedFor !== undefined && startedFor !== runDirectory) {
    return `it belongs to a daemon of another run dir: its ${runDirVariable} names a different one`;
  }
  if (startedFor === undefined) {
    return `it was not started by a daemon of this run dir: no ${runDirVariable} names it`;
  }
  const mark = `${record.pid}:${record.start}`;
  const marked = found.variable(childVariable);
  if (marked !== undefined && marked !== mark) {
    return `it was not started by a daemon itself: its ${childVariable} does not name its own pid and start (something a child started)`;
  }
  if (marked === undefined) {
    return `it is not marked as a child itself: no ${childVariable} says "${mark}"`;
  }
  return undefined;
}

function runs([argv0, ...rest]: readonly string[], { argv0: recorded, program }: ChildRecord): boolean {
  if (argv0 === undefined) {
    return false;
  }
  const names = program === undefined ? [recorded] : [recorded, program];
  if (names.some((name) => argv0 === name || basename(argv0) === basename(name))) {
    return true;
  }
  return program !== undefined && rest.includes(program);
}

/** Before every signal the process must still prove who it is. */
async function endOrphan({ file, record, group }: Orphan, options: ReapOptions): Promise<End> {
  const { log, timings, markers } = options;
  const { pid } = record;
  const tell = (text: string, level: 'info' | 'warn'): void => log[level]('process.Registry', text);
  try {
    const origin =
      file === undefined
        ? 'that has no record'
        : `recorded by daemon instance "${record.instance}" (pid ${record.daemonPid})`;
    tell(`ending orphaned process group ${pid} ${origin}: SIGTERM`, 'info');
    await failpointAsync('reap.signal.before');
    return await endGroup({
      pid,
      group,
      refusal: (leader) => refusal(leader, record, options),
      livingGroups: () => markers.livingGroups(),
      termMs: timings.reapTermMs,
      killMs: timings.reapKillMs,
      pollMs: timings.reapPollMs,
      secondLookMs: timings.reapSecondLookMs,
      tell,
    });
  } finally {
    group.release();
  }
}
