/** Both databases at the start of the daemon: opened, checked, and brought into order after whatever ended the last one (spec mesh.md §7). */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../../base/error-texts.ts';
import type { MeshTimings } from '../timings.ts';
import { CorruptDatabase } from './database.ts';
import { Inbox } from './inbox.ts';
import { Outbox } from './outbox.ts';

export interface StoreOptions {
  /** The daemon's folder. */
  readonly folder: string;
  readonly timings: MeshTimings;
  readonly log: StoreLog;
  readonly now?: () => number;
}

export interface StoreLog {
  warn(name: string, fields: Readonly<Record<string, unknown>>): void;
}

export interface Stores {
  readonly outbox: Outbox;
  readonly inbox: Inbox;
}

/** Why the daemon cannot start; `message` is what stderr gets. */
export class StoreFailure extends Error {
  override readonly name = 'StoreFailure';
}

/**
 * A damaged inbox is set aside and a new one begun: what is in it has been acknowledged and can be had no more. A damaged outbox is
 * not touched, because rows in it have been promised to be sent.
 * @throws StoreFailure
 */
export function openStores({ folder, timings, log, now = Date.now }: StoreOptions): Stores {
  const outbox = openOutbox(join(folder, 'outbox.db'));
  try {
    const inbox = openInbox(join(folder, 'inbox.db'), log, now);
    outbox.recoverInflight(now() + timings.recoveredDelayMs);
    return { outbox, inbox };
  } catch (error) {
    outbox.close();
    throw error;
  }
}

function openOutbox(path: string): Outbox {
  try {
    return new Outbox(path);
  } catch (error) {
    const reason =
      error instanceof CorruptDatabase ? 'outbox.db corrupt' : `outbox.db cannot be opened: ${messageOf(error)}`;
    throw new StoreFailure(reason, { cause: error });
  }
}

function openInbox(path: string, log: StoreLog, now: () => number): Inbox {
  try {
    try {
      return new Inbox(path);
    } catch (error) {
      if (!(error instanceof CorruptDatabase)) {
        throw error;
      }
      const movedTo = setAside(path, now());
      log.warn('inbox_corruption_recovered', { moved_to: movedTo, err: error.message });
      return new Inbox(path);
    }
  } catch (error) {
    throw new StoreFailure(`inbox.db cannot be opened: ${messageOf(error)}`, { cause: error });
  }
}

/** With its log, which would otherwise be applied to the new file. */
function setAside(path: string, now: number): string {
  const movedTo = `${path}.corrupt-${now}`;
  for (const suffix of ['-wal', '-shm', '']) {
    try {
      renameSync(`${path}${suffix}`, `${movedTo}${suffix}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw error;
      }
    }
  }
  return movedTo;
}
