/** How long an ended process can be replayed (spec process.md §9). */
import type { Session } from './session.ts';

export interface RetentionOptions {
  readonly retentionMs: number;
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

  /** Forgets what is too old. Cheap when nothing is. */
  check(): void {
    const oldest = performance.now() - this.#options.retentionMs;
    for (const session of this.#ended) {
      if (session.exitedAt === undefined || session.exitedAt > oldest) {
        break;
      }
      this.#ended.delete(session);
      this.#options.forget(session);
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
