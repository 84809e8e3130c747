/**
 * `reap-tree` (spec extensions.md §4): what an ended session has left outside its process group is found by the mark it
 * carries (session-mark.ts) and ended too. Agents start their tools in sessions of their own, out of a group kill's reach.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Platform } from '../../../platform/platform.ts';
import type { Counters } from '../../base/counters.ts';
import { messageOf } from '../../base/error-texts.ts';
import type { Log } from '../../base/log.ts';
import { endLeftovers, type Leftovers } from '../../base/session-leftovers.ts';
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

/** One search. */
interface Search extends Leftovers {
  readonly session: EndedSession;
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
    // Where children cannot outlive their job, nothing is ever left.
    if (!isWanted() || first === undefined || platform.childMarkers === undefined || this.#isSearchedFor(session)) {
      return;
    }
    const successor = current(id);
    const before = successor === undefined || successor === session ? Number.POSITIVE_INFINITY : successor.startTime;
    const search = { session, mark: sessionMark(first, id), before };
    const work = this.#search(search)
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

  async #search(search: Search): Promise<void> {
    const { platform, log, counters, timings } = this.#options;
    const { id } = search.session;
    // The group's own members are dying at this moment.
    await delay(timings.reapPollMs);
    const ended = await endLeftovers(search, {
      platform,
      graceMs: timings.reapTermMs,
      killMs: timings.reapKillMs,
      pollMs: timings.reapPollMs,
      onSent(pid, name) {
        counters.treeProcessesEnded++;
        log.info('process.Manager', `Process ${id}: ending what it has left, PID=${pid}: SIG${name}`);
      },
    });
    const survivors = ended.filter(({ result }) => result === 'survived' || result === 'refused');
    if (survivors.length > 0) {
      const pids = survivors.map(({ process }) => process.identity.pid);
      log.warn('process.Manager', `Process ${id}: what it has left lives on, PID=${pids.join(', ')}`);
    }
  }
}
