/**
 * What a daemon knows of the sessions in its keeper, so that it can tell their clients the truth when the keeper has died:
 * which there were, and how far each had come. Nothing is read from it while the keeper lives.
 */
import type { Opened, SessionEvent, SessionExit, SessionInfo, SpawnRequest } from '../../engine/session-engine.ts';

export interface KnownSession {
  readonly id: string;
  readonly pid: number;
  readonly startTime: number;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string | undefined;
  readonly door: string | undefined;
  readonly spawnedAt: number;
  /** The last frame that we know of. */
  lastSeq: number;
  /** Bytes of input that were accepted. */
  applied: number;
  /** Its end, where the keeper has told it. */
  exit: SessionExit | undefined;
}

export class SessionBook {
  readonly #sessions = new Map<string, KnownSession>();

  /** What a keeper tells first. */
  begin(sessions: readonly SessionInfo[]): void {
    this.#sessions.clear();
    for (const info of sessions) {
      if (!info.replaced) {
        const { id, pid, startTime, command, args, cwd, door, spawnedAt, lastSeq, inBytes: applied, exit } = info;
        this.#sessions.set(id, { id, pid, startTime, command, args, cwd, door, spawnedAt, lastSeq, applied, exit });
      }
    }
  }

  spawned({ id, command, args, cwd, door }: SpawnRequest, { pid, startTime }: Opened): void {
    const spawnedAt = Date.now();
    const more = { lastSeq: 0, applied: 0, exit: undefined };
    this.#sessions.set(id, { id, pid, startTime, command, args, cwd, door, spawnedAt, ...more });
  }

  reached(id: string, lastSeq: number): void {
    const known = this.#sessions.get(id);
    if (known !== undefined && lastSeq > known.lastSeq) {
      known.lastSeq = lastSeq;
    }
  }

  applied(id: string, applied: number): void {
    const known = this.#sessions.get(id);
    if (known !== undefined && applied > known.applied) {
      known.applied = applied;
    }
  }

  happened(event: SessionEvent): void {
    const known = this.#sessions.get(event.id);
    if (event.replaced || known === undefined || known.pid !== event.pid) {
      return;
    }
    if (event.event === 'exited') {
      known.exit = event.exit;
    } else if (event.event === 'forgotten' || event.event === 'released') {
      this.#sessions.delete(event.id);
    }
  }

  /** Every one of them, oldest first; the book is empty afterwards. */
  takeAll(): KnownSession[] {
    const all = [...this.#sessions.values()];
    this.#sessions.clear();
    return all;
  }
}
