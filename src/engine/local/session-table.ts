/** Which session an id leads to, which still run, and which can only be replayed any more (spec process.md §2, §3.5, §9). */
import type { Reader } from '../session-engine.ts';
import { Retention, type RetentionOptions } from './retention.ts';
import type { Session } from './session.ts';

export interface SessionTableOptions extends Omit<RetentionOptions, 'forget'> {
  /** A process ends when its id is used again (profile row `process.idReuseKillsOld`). */
  idReuseKillsOld(): boolean;
}

export class SessionTable {
  readonly #options: SessionTableOptions;
  readonly #byId = new Map<string, Session>();
  /** Every process that still runs, also those whose id was taken over. */
  readonly #running = new Set<Session>();
  /** The same, and those that can only be replayed any more; in the order of their starts. */
  readonly #all = new Set<Session>();
  readonly #retention: Retention;

  constructor(options: SessionTableOptions) {
    this.#options = options;
    this.#retention = new Retention({ ...options, forget: (session) => this.forget(session, 'forgotten') });
  }

  get(id: string): Session | undefined {
    return this.#byId.get(id);
  }

  /** Whether its id still leads to it. */
  isCurrent(session: Session): boolean {
    return this.#byId.get(session.id) === session;
  }

  /** Those whose id was taken over are among them, here and in the others. */
  get running(): ReadonlySet<Session> {
    return this.#running;
  }

  /** In the order of their ends. */
  get ended(): Iterable<Session> {
    return this.#retention.ended;
  }

  /** In the order of their starts. */
  get all(): Iterable<Session> {
    return this.#all;
  }

  /**
   * A new process runs; one that had its id until now gives it up.
   * @param reader who has started the new one
   */
  add(session: Session, reader: Reader): void {
    const replaced = this.#byId.get(session.id);
    if (replaced !== undefined) {
      this.#retire(replaced, reader);
    }
    this.#byId.set(session.id, session);
    this.#running.add(session);
    this.#all.add(session);
  }

  /** An id is used again (spec process.md §3.5). The new process runs already. */
  #retire(old: Session, reader: Reader): void {
    this.#retention.remove(old);
    if (old.state === 'exited') {
      // After the reply of the new process no frame of the old one could be told from one of the new.
      if (old.readers.isReceivedBy(reader)) {
        old.readers.drop();
      } else {
        old.readers.finish();
      }
      this.#all.delete(old);
      old.forgotten('forgotten');
      old.letGo();
    } else if (this.#options.idReuseKillsOld()) {
      old.readers.drop();
      old.forgotten('forgotten');
      old.end.killTree({ by: 'supersede', how: 'spawn' });
      old.end.exited.then(() => old.letGo());
    } else {
      old.forgotten('forgotten');
      old.end.exited.then(() => {
        old.readers.finish();
        old.letGo();
      });
    }
  }

  /** The process has shown its exit frame. @param isReplaced its id leads to another one */
  exited(session: Session, isReplaced: boolean): void {
    this.#running.delete(session);
    if (isReplaced) {
      this.#all.delete(session);
    } else {
      this.#retention.add(session);
    }
  }

  forget(session: Session, why: 'forgotten' | 'released'): void {
    this.#retention.remove(session);
    this.#byId.delete(session.id);
    this.#all.delete(session);
    session.readers.finish();
    session.forgotten(why);
    session.letGo();
  }

  /** Forgets what has been kept long enough. Cheap when nothing has. */
  check(): void {
    this.#retention.check();
  }

  /** Forgets nothing by itself any more. */
  stop(): void {
    this.#retention.stop();
  }
}
