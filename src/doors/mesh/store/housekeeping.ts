/** What both stores need from time to time: messages too old to send are given up, messages read long ago are removed (spec mesh.md §7). */
import { messageOf } from '../../../base/error-texts.ts';
import type { MeshTimings } from '../timings.ts';
import type { StoreLog, Stores } from './open-stores.ts';

export interface HousekeepingOptions extends Stores {
  readonly timings: MeshTimings;
  readonly log: StoreLog;
  readonly now?: () => number;
}

/** Once now and then every hour. @returns ends it */
export function keepHouse({ outbox, inbox, timings, log, now = Date.now }: HousekeepingOptions): () => void {
  const tidy = (): void => {
    try {
      const expired = outbox.expire(now() - timings.maxAgeMs);
      if (expired > 0) {
        log.warn('outbox_max_age_exceeded', { rows: expired });
      }
      inbox.prune(now() - timings.inboxKeptMs);
    } catch (error) {
      log.warn('housekeeping_failed', { err: messageOf(error) });
    }
  };
  tidy();
  const timer = setInterval(tidy, timings.housekeepingMs).unref();
  return () => clearInterval(timer);
}
