/** How long an ended process can be replayed (spec process.md §9). */
import type { Session } from './session.ts';

export interface RetentionOptions {
  readonly retentionMs: number;
  /** The same for one whose exit frame no receiver has got (spec extensions.md §4 `unseen-retention`). */
  unseenRetentionMs(): number;
  /** How often is looked. */
  readonly checkMs: number;
  /** The process is kept no longer. */
  forget(session: Session): void;
}

export class Retention {
  readonly #options: RetentionOptions;
  /** In the order in which they ended. */
  readonly #ended = new Set<Session>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /** The process has shown its exit frame. */
  add(session: Session): void {
    this.#ended.add(session);
    this.#timer ??= setInterval(() => this.check(), this.#options.checkMs).unref();
  }

  /** The process is not kept any more, for another reason than its age. */
  remove(session: Session): void {
    this.#ended.delete(session);
  }

  /** In the order in which they ended. */
  get ended(): Iterable<Session> {
    return this.#ended;
  }

  /** Forgets what is too old. Cheap when nothing is. */
  check(): void {
    const now = performance.now();
    const { retentionMs } = this.#options;
    const unseenMs = this.#options.unseenRetentionMs();
    const shortest = Math.min(retentionMs, unseenMs);
    for (const session of this.#ended) {
      const { exitedAt = now } = session;
      // They are in the order of their ends, so none behind this one is old enough for anything.
      if (exitedAt > now - shortest) {
        break;
      }
      if (keptUntil(exitedAt, session.readers.exitSeenAt, retentionMs, unseenMs) <= now) {
        this.#ended.delete(session);
        this.#options.forget(session);
      }
    }
    if (this.#ended.size === 0) {
      this.stop();
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** One that was seen late is kept for its full time from then on: the client that came for it may have to come again. */
function keptUntil(exitedAt: number, seenAt: number | undefined, retentionMs: number, unseenMs: number): number {
  if (seenAt === undefined) {
    return exitedAt + unseenMs;
  }
  return (seenAt > exitedAt + retentionMs ? seenAt : exitedAt) + retentionMs;
}
