/**
 * Ends agent CLIs whose daemon has died and whose run directory no daemon has come back to (spec platform.md §2 "Host
 * cleaner" (a)). Every condition of the rule is asked of the live process, and again before each signal.
 */
import { dirname } from 'node:path';
import {
  childVariable,
  type HeldGroup,
  type ProcessEvidence,
  runDirVariable,
} from '../../../platform/child-markers.ts';
import { failpointAsync } from '../../base/failpoints.ts';
import { type End, endGroup } from '../records/end-group.ts';
import { inTurns, leaveAlone, type PassOptions, tellCap } from './pass-options.ts';
import { resolved } from './place.ts';

/** The most groups that are ended in one pass. */
const mostGroups = 64;
/** How many groups are ended at the same time: each of them is looked at many times a second until it is gone. */
const groupsAtOnce = 8;

/**
 * The process that inherits the children of a dead one. A service manager may name another one for its session; that
 * does not count.
 */
const init = 1;

interface Orphan {
  readonly pid: number;
  /** Its creation time when it was found. */
  readonly start: string;
  readonly program: string;
  readonly group: HeldGroup;
}

export type Ends = Record<End, number>;

/** @param pids of all processes of the host */
export async function endOrphanedGroups(pids: readonly number[], options: PassOptions): Promise<Ends> {
  const { counters, signal } = options;
  const orphans = await findOrphans(pids, options);
  const ends: Ends = { term: 0, kill: 0, survived: 0 };
  const livingGroups = livingGroupsOf(options);
  try {
    for (let at = 0; at < orphans.length && !signal.aborted; at += groupsAtOnce) {
      const some = orphans.slice(at, at + groupsAtOnce);
      for (const end of await Promise.all(some.map((orphan) => endOrphan(orphan, livingGroups, options)))) {
        ends[end]++;
        if (end === 'survived') {
          counters.hostCleanRefusals++;
        } else {
          counters.hostCleanGroupsEnded++;
        }
      }
    }
  } finally {
    for (const { group } of orphans) {
      group.release();
    }
  }
  return ends;
}

async function findOrphans(pids: readonly number[], options: PassOptions): Promise<Orphan[]> {
  const { hostCleaning, markers, place } = options;
  const orphans: Orphan[] = [];
  for await (const pid of inTurns(pids)) {
    const program = hostCleaning.programOf(pid);
    if (program === undefined || dirname(program) !== place.cliFolder || hostCleaning.parentOf(pid) !== init) {
      continue;
    }
    const group = markers.holdGroup(pid);
    const leader = group.leader();
    const reason = leader === undefined ? undefined : refusal(leader, options);
    if (leader === undefined || reason !== undefined) {
      group.release();
      if (reason !== undefined) {
        leaveAlone(options, `process ${pid} (${program})`, reason);
      }
      continue;
    }
    if (orphans.length === mostGroups) {
      group.release();
      tellCap(options, `${mostGroups} orphaned groups are the most of one pass; the others wait for the next one`);
      break;
    }
    orphans.push({ pid, start: leader.start, program, group });
  }
  return orphans;
}

/** Why the process is not an orphan to end; `undefined`: everything matches. */
function refusal(found: ProcessEvidence, options: PassOptions): string | undefined {
  const { hostCleaning, markers, place, timings } = options;
  const { pid } = found.identity;
  const view = hostCleaning.view(pid);
  if (view === undefined) {
    return 'it cannot be looked at';
  }
  if (found.user !== markers.user) {
    return `it runs as user ${found.user}, not as user ${markers.user}`;
  }
  if (view.program === undefined || dirname(view.program) !== place.cliFolder) {
    return `its program is not directly in ${place.cliFolder}`;
  }
  if (view.parent !== init) {
    return `its parent is pid ${view.parent}`;
  }
  if (!found.leadsGroup) {
    return 'it does not lead its own process group';
  }
  if (!speaksStreamJson(found.words)) {
    return 'it is no stream-json child';
  }
  if (!view.hasThreePipes) {
    return 'its standard streams are not three pipes';
  }
  if (!isRunDirectoryMark(found.variable(runDirVariable), options)) {
    return `it was not started by a daemon of this root: no ${runDirVariable} names a folder of ${place.runFolder}`;
  }
  const mark = `${pid}:${found.start}`;
  if (found.variable(childVariable) !== mark) {
    return `it is not marked as a child itself: no ${childVariable} says "${mark}"`;
  }
  if (view.ageMs < timings.hostCleanOrphanAgeMs) {
    return `it is younger than ${timings.hostCleanOrphanAgeMs / 1000}s`;
  }
  return undefined;
}

/** Whether `stream-json` is the value of one of the CLI's two format flags; as a word of a prompt it does not count. */
function speaksStreamJson(words: readonly string[]): boolean {
  const flags = ['--input-format', '--output-format'];
  return words.some((word, index) =>
    flags.some((flag) => word === `${flag}=stream-json` || (word === 'stream-json' && words[index - 1] === flag)),
  );
}

/** The run directory itself may be gone, so the folder above it is compared with ours, links resolved. */
function isRunDirectoryMark(mark: string | undefined, { paths, place }: PassOptions): boolean {
  if (mark === undefined || !paths.isAbsolute(mark) || paths.clean(mark) !== mark || paths.isRoot(mark)) {
    return false;
  }
  return resolved(dirname(mark)) === place.runFolder;
}

async function endOrphan(
  { pid, start, program, group }: Orphan,
  livingGroups: () => ReadonlySet<number>,
  options: PassOptions,
): Promise<End> {
  const { log, timings } = options;
  const tell = (text: string): void => log.warn('hostclean', text);
  tell(`ending orphaned process group ${pid} (${program}): SIGTERM`);
  await failpointAsync('hostclean.signal.before');
  const end = await endGroup({
    pid,
    group,
    refusal: (leader) => (leader.start === start ? refusal(leader, options) : 'the pid has been reused'),
    livingGroups,
    termMs: timings.hostCleanTermMs,
    killMs: timings.hostCleanKillMs,
    pollMs: timings.reapPollMs,
    secondLookMs: timings.reapSecondLookMs,
    tell,
  });
  if (end === 'survived') {
    tell(`group ${pid} was not ended; the next pass looks again`);
  }
  return end;
}

/**
 * The groups that live. Reading them is a look at every process of the host, so they are read at most once a poll. A group
 * that has just gone is then looked at once more than needed; a group that was not there cannot have come back.
 */
function livingGroupsOf({ markers, timings }: PassOptions): () => ReadonlySet<number> {
  let seen: { readonly at: number; readonly groups: ReadonlySet<number> } | undefined;
  return () => {
    const now = performance.now();
    if (seen === undefined || now - seen.at >= timings.reapPollMs / 2) {
      seen = { at: now, groups: markers.livingGroups() };
    }
    return seen.groups;
  };
}
