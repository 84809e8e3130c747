/** Seeing the death of a keeper out: its sessions end visibly, and what has survived it is ended (spec durable.md §2). */
import { setTimeout as delay } from 'node:timers/promises';
import type { Platform } from '../../../platform/platform.ts';
import type { Counters } from '../../base/counters.ts';
import { failpoint } from '../../base/failpoints.ts';
import type { Log } from '../../base/log.ts';
import { endLeftovers } from '../../base/session-leftovers.ts';
import { type MarkedChild, sessionMark } from '../../base/session-mark.ts';
import type { Timings } from '../../base/timings.ts';
import type { FrontSettings } from '../channel/values.ts';
import { identityOf, type KeeperRecord } from '../record.ts';
import type { AskedSpawn } from './calls.ts';
import type { KeeperFinderOptions } from './keeper-finder.ts';
import type { LostSessions } from './lost-sessions.ts';
import type { RemoteEngine } from './remote-engine.ts';
import type { KnownSession } from './session-book.ts';

export interface KeeperDeathOptions {
  readonly platform: Platform;
  readonly settings: FrontSettings;
  readonly log: Log;
  readonly counters: Counters;
  readonly timings: Timings;
  readonly endLeftChildren: KeeperFinderOptions['endLeftChildren'];
}

const gonePollMs = 10;

export class KeeperDeath {
  readonly #options: KeeperDeathOptions;
  readonly #remote: RemoteEngine;
  readonly #lost: LostSessions;

  /** @param lost is given the sessions of a keeper that has died */
  constructor(options: KeeperDeathOptions, remote: RemoteEngine, lost: LostSessions) {
    this.#options = options;
    this.#remote = remote;
    this.#lost = lost;
  }

  /**
   * The channel to this keeper has ended.
   * @param exitText of our child; `undefined`: another daemon has started it
   * @returns whether it has died
   */
  async seeOut(record: KeeperRecord, exitText: (() => string | undefined) | undefined): Promise<boolean> {
    // Now, because whoever has asked is told in a moment that the channel has ended.
    const asked = this.#remote.askedSpawns;
    if (!(await this.#isGone(record))) {
      return false;
    }
    await this.#tellAll(record, exitText && (await this.#collected(exitText)));
    await Promise.all(asked.map((spawn) => this.#endUnrecorded(spawn)));
    return true;
  }

  /** A process that was killed closes its end of the channel a moment before it is gone. */
  async #isGone(record: KeeperRecord): Promise<boolean> {
    const { platform, timings } = this.#options;
    const wanted = identityOf(record);
    const deadline = performance.now() + timings.keeperGoneMs;
    for (;;) {
      if (platform.processes.identify(record.pid)?.start !== wanted.start) {
        return true;
      }
      // One that still accepts has only dropped the channel.
      if (performance.now() >= deadline || (await this.#accepts(record))) {
        return platform.processes.identify(record.pid)?.start !== wanted.start;
      }
      await delay(gonePollMs);
    }
  }

  /** The system tells the exit of a process when the last of its threads is gone, a moment after the process. */
  async #collected(exitText: () => string | undefined): Promise<string | undefined> {
    const deadline = performance.now() + this.#options.timings.keeperGoneMs;
    for (;;) {
      const exit = exitText();
      if (exit !== undefined || performance.now() >= deadline) {
        return exit;
      }
      await delay(gonePollMs);
    }
  }

  async #accepts(record: KeeperRecord): Promise<boolean> {
    try {
      const socket = await this.#options.platform.transport.dial(record.socket, { timeoutMs: gonePollMs * 10 });
      socket.destroy();
      return true;
    } catch {
      return false;
    }
  }

  /** A process whose keeper has died between its start and its record is known by its mark alone. */
  async #endUnrecorded({ id, at }: AskedSpawn): Promise<void> {
    const { platform, settings, timings, log } = this.#options;
    if (settings.sessionMarks === undefined) {
      return;
    }
    const mark = sessionMark(settings.sessionMarks, id);
    await endLeftovers(
      { mark, after: at / 1000, before: Number.POSITIVE_INFINITY },
      {
        platform,
        graceMs: timings.reapTermMs,
        killMs: timings.reapKillMs,
        pollMs: timings.reapPollMs,
        onSent: (pid, name) =>
          log.info('keeper', `process ${id} was just being started, PID=${pid}: SIG${name}; nobody was told of it`),
      },
    );
  }

  /** Every session ends visibly, and whatever has survived is ended. */
  async #tellAll(record: KeeperRecord, exit: string | undefined): Promise<void> {
    const { log, counters, settings } = this.#options;
    failpoint('durable.death.before');
    const streams = this.#remote.streams.takeAll();
    for (const { processId, lastSeq } of streams) {
      this.#remote.book.reached(processId, lastSeq);
    }
    const known = this.#remote.book.takeAll();
    const how = exit === undefined ? '' : ` (${exit})`;
    if (known.length === 0 && streams.length === 0) {
      log.info('keeper', `pid ${record.pid} has ended${how}; it had no session`);
      return;
    }
    counters.keeperDeaths++;
    log.warn(
      'keeper',
      `pid ${record.pid} has died${how}: its ${known.length} session(s) end, with exit code -1 where they ran`,
    );
    const left = new Set(streams);
    for (const session of known) {
      const lost = this.#lost.add(session, settings.process);
      for (const stream of streams.filter(({ processId }) => processId === session.id)) {
        stream.finishWith(lost.exitFrame, lost.exitSeq);
        left.delete(stream);
      }
      if (session.exit === undefined) {
        const common = { id: lost.id, pid: lost.pid, at: lost.exit.at, replaced: false };
        this.#remote.tell({ ...common, event: 'exited', exit: lost.exit });
      }
    }
    for (const stream of left) {
      // Of a process that has been forgotten: its client cannot be told more than that there is no more.
      stream.lost();
    }
    failpoint('durable.death.between');
    const ended = await this.#options.endLeftChildren(this.#marked(known));
    log.info('keeper', `${ended} children of pid ${record.pid} that had survived it were ended`);
  }

  /** Children that may live: a disk that was full has no record of them. */
  #marked(known: readonly KnownSession[]): MarkedChild[] {
    const { sessionMarks } = this.#options.settings;
    return sessionMarks === undefined
      ? []
      : known
          .filter(({ exit }) => exit === undefined)
          .map(({ id, pid, startTime }) => ({ pid, startSeconds: startTime, mark: sessionMark(sessionMarks, id) }));
  }
}
