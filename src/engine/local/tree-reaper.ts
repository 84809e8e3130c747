/**
 * `reap-tree` (spec extensions.md §4): what an ended session has left outside its process group is found by the mark it
 * carries (session-mark.ts) and ended too. Agents start their tools in sessions of their own, out of a group kill's reach.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type ProcessEvidence, sessionMarkVariable } from '../../../platform/child-markers.ts';
import type { Platform } from '../../../platform/platform.ts';
import type { SignalName } from '../../../platform/processes.ts';
import type { Counters } from '../../base/counters.ts';
import { messageOf } from '../../base/error-texts.ts';
import type { Log } from '../../base/log.ts';
import { sessionMark } from '../../base/session-mark.ts';
import type { Timings } from '../../base/timings.ts';

export interface TreeReaperOptions {
  readonly platform: Pick<Platform, 'childMarkers' | 'processes'>;
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly counters: Counters;
  readonly timings: Pick<Timings, 'reapTermMs' | 'reapKillMs' | 'reapPollMs'>;
  /** Whether what is left is to be ended. Asked each time: the settings of a keeper are those of its daemon. */
  isWanted(): boolean;
  /** First half of the marks; `undefined`: children carry none, so nothing can be found. */
  runDirectoryMark(): string | undefined;
  /** Who has the id now. */
  current(id: string): EndedSession | undefined;
}

/** What is known of a session when it is ended. */
export interface EndedSession {
  readonly id: string;
  /** In seconds since 1970. */
  readonly startTime: number;
}

/** What is being started while we look is found by another look; more looks than this mean a program that only forks. */
const mostRounds = 5;

/** One search. */
interface Search {
  readonly session: EndedSession;
  readonly mark: string;
  /**
   * A later process of the same id carries the same mark, and so does what it starts: only what was started before it is
   * the ended one's.
   */
  before: number;
}

export class TreeReaper {
  readonly #options: TreeReaperOptions;
  readonly #searches = new Map<Search, Promise<void>>();

  constructor(options: TreeReaperOptions) {
    this.#options = options;
  }

  /** Begins to look for what the session has left. */
  reap(session: EndedSession): void {
    const { platform, log, isWanted, runDirectoryMark, current } = this.#options;
    const { id } = session;
    const first = runDirectoryMark();
    const markers = platform.childMarkers;
    // Where children cannot outlive their job, nothing is ever left.
    if (!isWanted() || first === undefined || markers === undefined || this.#isSearchedFor(session)) {
      return;
    }
    const successor = current(id);
    const before = successor === undefined || successor === session ? Number.POSITIVE_INFINITY : successor.startTime;
    const search = { session, mark: sessionMark(first, id), before };
    const work = this.#search(search, markers)
      .catch((error: unknown) => log.warn('process.Manager', `Process ${id}: reap-tree: ${messageOf(error)}`))
      .finally(() => this.#searches.delete(search));
    this.#searches.set(search, work);
  }

  /** A process has been started. */
  began(session: EndedSession): void {
    for (const search of this.#searches.keys()) {
      if (search.session.id === session.id) {
        search.before = Math.min(search.before, session.startTime);
      }
    }
  }

  /** Resolves when nothing is being ended any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#searches.values());
  }

  #isSearchedFor(session: EndedSession): boolean {
    return [...this.#searches.keys()].some((search) => search.session === session);
  }

  async #search(search: Search, markers: NonNullable<Platform['childMarkers']>): Promise<void> {
    const { log, counters, timings } = this.#options;
    const { id } = search.session;
    const { reapTermMs, reapKillMs, reapPollMs } = timings;
    const find = async (): Promise<ProcessEvidence[]> =>
      (await markers.carrying(sessionMarkVariable, search.mark)).filter((found) => this.#isLeft(found, search));
    // The group's own members are dying at this moment.
    await delay(reapPollMs);
    const told = new Set<string>();
    for (let round = 0; round < mostRounds; round++) {
      const left = await find();
      if (left.length === 0) {
        return;
      }
      const name: SignalName = round === 0 ? 'TERM' : 'KILL';
      for (const { identity } of left) {
        // Read again right before the signal, and once more by whoever sends it.
        const now = markers.evidenceOf(identity.pid);
        if (now === undefined || now.identity.start !== identity.start || !this.#isLeft(now, search)) {
          continue;
        }
        const outcome = this.#options.platform.processes.signalIfSame(identity, name);
        const key = `${identity.pid} ${identity.start}`;
        if (outcome === 'sent' && !told.has(key)) {
          counters.treeProcessesEnded++;
          log.info('process.Manager', `Process ${id}: ending what it has left, PID=${identity.pid}: SIG${name}`);
        }
        told.add(key);
      }
      const limit = performance.now() + (round === 0 ? reapTermMs : reapKillMs);
      while (performance.now() < limit && (await find()).length > 0) {
        await delay(reapPollMs);
      }
    }
    const survivors = (await find()).map(({ identity }) => identity.pid);
    if (survivors.length > 0) {
      log.warn('process.Manager', `Process ${id}: what it has left lives on, PID=${survivors.join(', ')}`);
    }
  }

  #isLeft({ identity, user, variable }: ProcessEvidence, { mark, before }: Search): boolean {
    const { processes, childMarkers } = this.#options.platform;
    if (identity.pid === process.pid || user !== childMarkers?.user || variable(sessionMarkVariable) !== mark) {
      return false;
    }
    return processes.startSeconds(identity.pid) < before;
  }
}
