/**
 * Frames in shared memory that a daemon may still send to its clients: their memory is not written again before it has said that
 * it is done with them, or can send nothing more. Numbered in the order in which they were told.
 */
import type { Processes, ProcessIdentity } from '../../../platform/processes.ts';

export class LentFrames {
  readonly #lent = new Map<number, () => void>();
  #last = 0;

  get size(): number {
    return this.#lent.size;
  }

  /** @param release runs once, when the daemon is done with them */
  lend(release: () => void): void {
    this.#last++;
    this.#lent.set(this.#last, release);
  }

  /** The daemon is done with this one; a number that is none, or was told before, changes nothing. */
  freed(number: number): void {
    const release = this.#lent.get(number);
    this.#lent.delete(number);
    release?.();
  }

  freeAll(): void {
    for (const number of [...this.#lent.keys()]) {
      this.freed(number);
    }
  }
}

/** How often it is looked whether a daemon has ended that still has frames. */
const lookMs = 1_000;

interface Debtor {
  readonly daemon: ProcessIdentity;
  readonly frames: LentFrames;
}

/**
 * What daemons hold whose channel has ended. Such a daemon may live on for a while, stopped or at its end, and what its
 * clients still get must be the bytes of their frames and no others.
 */
export class Debtors {
  readonly #processes: Pick<Processes, 'identify'>;
  #debtors: Debtor[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(processes: Pick<Processes, 'identify'>) {
    this.#processes = processes;
  }

  add(daemon: ProcessIdentity, frames: LentFrames): void {
    if (frames.size > 0) {
      this.#debtors.push({ daemon, frames });
      this.#look();
    }
  }

  /** This daemon is here again, and has let go of everything that came over its channels before. */
  settled(daemon: ProcessIdentity): void {
    this.#settle((debtor) => isSame(debtor.daemon, daemon));
  }

  readonly #look = (): void => {
    this.#settle(({ daemon }) => !isSame(this.#processes.identify(daemon.pid), daemon));
    clearTimeout(this.#timer);
    this.#timer = this.#debtors.length === 0 ? undefined : setTimeout(this.#look, lookMs).unref();
  };

  #settle(isOver: (debtor: Debtor) => boolean): void {
    const over = this.#debtors.filter(isOver);
    this.#debtors = this.#debtors.filter((debtor) => !over.includes(debtor));
    for (const { frames } of over) {
      frames.freeAll();
    }
  }
}

function isSame(one: ProcessIdentity | undefined, other: ProcessIdentity): boolean {
  return one !== undefined && one.pid === other.pid && one.start === other.start;
}
