/** Seeing the death of a keeper out: its sessions end visibly, and what has survived it is ended (spec durable.md §2). */
import { setTimeout as delay } from 'node:timers/promises';
import type { Platform } from '../../../platform/platform.ts';
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import type { Timings } from '../../base/timings.ts';
import type { FrontSettings } from '../channel/values.ts';
import { identityOf, type KeeperRecord } from '../record.ts';
import type { LostSessions } from './lost-sessions.ts';
import type { RemoteEngine } from './remote-engine.ts';

export interface KeeperDeathOptions {
  readonly platform: Platform;
  readonly settings: FrontSettings;
  readonly log: Log;
  readonly counters: Counters;
  readonly timings: Timings;
  /** Ends what a dead keeper has left running. @returns how many groups were ended */
  endLeftChildren(): Promise<number>;
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

  /** The channel to this keeper has ended. @returns whether it has died */
  async seeOut(record: KeeperRecord, exitText: () => string | undefined): Promise<boolean> {
    if (!(await this.#isGone(record))) {
      return false;
    }
    await this.#tellAll(record, exitText());
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

  async #accepts(record: KeeperRecord): Promise<boolean> {
    try {
      const socket = await this.#options.platform.transport.dial(record.socket, { timeoutMs: gonePollMs * 10 });
      socket.destroy();
      return true;
    } catch {
      return false;
    }
  }

  /** Every session ends visibly, and whatever has survived is ended. */
  async #tellAll(record: KeeperRecord, exit: string | undefined): Promise<void> {
    const { log, counters, settings } = this.#options;
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
        this.#remote.tell({ ...common, event: 'ended' });
        this.#remote.tell({ ...common, event: 'exited', exit: lost.exit });
      }
    }
    for (const stream of left) {
      // Of a process that has been forgotten: its client cannot be told more than that there is no more.
      stream.lost();
    }
    const ended = await this.#options.endLeftChildren();
    log.info('keeper', `${ended} children of pid ${record.pid} that had survived it were ended`);
  }
}
