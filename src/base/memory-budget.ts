/**
 * One budget for the bytes that clients together can make this process hold (spec extensions.md §4 `memory-budget`): replay
 * windows, input and requests that wait, replies that nobody reads, ids.
 *
 * Whoever holds such bytes counts them with `take` and `give`. Both are an addition and a comparison, and windows count slabs
 * and not frames, so a chunk of output mostly costs nothing at all. Above the budget the owner of the windows is asked to give
 * bytes back (engine/local/relief.ts). What runs goes on, whatever it takes; new work asks first, and is refused.
 */
import { SystemCallError } from '../../platform/errors.ts';
import type { Counters } from './counters.ts';
import type { Log } from './log.ts';

/** What a daemon holds at most where nobody says otherwise: a quarter of the memory there is, and no more than this. */
const mostByDefault = 1024 * 1024 * 1024;

/** @param availableBytes of the host or of the cgroup, whichever is less */
export function defaultMemoryBudget(availableBytes: number): number {
  return Math.min(mostByDefault, Math.floor(availableBytes / 4));
}

/** Room that is made beyond what is wanted, so that not every further byte needs another round. */
const slackShare = 1 / 16;
/** After a round that could not free enough the next one waits for so much more, because it looks at every session. */
const growthShare = 1 / 64;

/** New work that would hold bytes and finds no room. The message is wire text. */
export class MemoryBudgetReached extends SystemCallError {
  constructor(limitBytes: number, what: string) {
    super(`memory budget of ${limitBytes} bytes reached: ${what}`, 'ENOMEM');
  }
}

/** What one round has given back. */
export interface Relief {
  /** Bytes of frames. */
  readonly bytes: number;
  readonly ended: number;
  readonly running: number;
}

/** Gives bytes back. @param wanted how many more are to be given back, zero or less when it is enough; asked again after each step */
export type ReliefSource = (wanted: () => number, why: 'growth' | 'newWork') => Relief;

export interface MemoryBudgetOptions {
  /** 0: no limit. */
  readonly limitBytes: number;
  readonly log: Pick<Log, 'warn'>;
  readonly counters: Pick<Counters, 'memoryBudgetReached' | 'memoryBudgetRefused' | 'memoryBudgetFrameBytes'>;
}

/** What a holder of bytes needs of the budget. */
export type ByteCount = Pick<MemoryBudget, 'take' | 'give'>;

export class MemoryBudget {
  readonly #options: MemoryBudgetOptions;
  #limit: number;
  #held = 0;
  #relieve: ReliefSource = () => ({ bytes: 0, ended: 0, running: 0 });
  #nextRound: number;
  #roundComes = false;
  /** Each is told once when the budget is reached, and again after there was plenty of room. */
  readonly #told = new Set<'dropped' | 'refused'>();

  constructor(options: MemoryBudgetOptions) {
    this.#options = options;
    this.#limit = limitOf(options.limitBytes);
    this.#nextRound = this.#limit;
  }

  /** Infinity: none. */
  get limitBytes(): number {
    return this.#limit;
  }

  /** Another budget from now on. @param bytes 0: no limit */
  limit(bytes: number): void {
    this.#limit = limitOf(bytes);
    this.#nextRound = this.#limit;
  }

  get heldBytes(): number {
    return this.#held;
  }

  /** Whether more is held than there should be. */
  get isReached(): boolean {
    return this.#held > this.#limit;
  }

  /** Who gives bytes back when the budget is reached. */
  relieveBy(source: ReliefSource): void {
    this.#relieve = source;
  }

  /** So many more bytes are held. Never refused; when there is no room for them, some is made in the next turn of the loop. */
  take(bytes: number): void {
    this.#held += bytes;
    if (this.#held > this.#nextRound && !this.#roundComes) {
      this.#roundComes = true;
      // Not now: whoever takes bytes may be in the middle of a window or a socket that the round would change.
      setImmediate(this.#round);
    }
  }

  /** So many fewer bytes are held. */
  give(bytes: number): void {
    this.#held -= bytes;
    if (this.#told.size > 0 && this.#held < this.#limit / 2) {
      this.#told.clear();
    }
  }

  /** Whether new work may hold so many bytes. Frames are given back for it, but none that a client still has to read. */
  hasRoom(bytes: number): boolean {
    const wanted = (): number => this.#held + bytes - this.#limit;
    if (wanted() > 0) {
      this.#free(wanted, 'newWork');
    }
    return wanted() <= 0;
  }

  /**
   * For new work that will hold bytes; it takes them itself.
   * @param what it is, for the text of the refusal
   * @throws MemoryBudgetReached
   */
  ensureRoom(bytes: number, what: string): void {
    if (!this.hasRoom(bytes)) {
      throw this.refusal(bytes, what);
    }
  }

  /** Counts and tells a refusal. */
  refusal(bytes: number, what: string): MemoryBudgetReached {
    this.#options.counters.memoryBudgetRefused++;
    const free = Math.max(0, this.#limit - this.#held);
    const remedy = 'end processes, read replies, or raise memory-budget';
    const refused = new MemoryBudgetReached(this.#limit, `${what} needs ${bytes} bytes, ${free} are free; ${remedy}`);
    this.#tell('refused', 'new work that holds bytes is refused; what runs goes on');
    return refused;
  }

  readonly #round = (): void => {
    this.#roundComes = false;
    this.#free(() => this.#held - this.#limit * (1 - slackShare), 'growth');
    this.#nextRound = Math.max(this.#limit, this.#held + this.#limit * growthShare);
  };

  #free(wanted: () => number, why: 'growth' | 'newWork'): void {
    const { counters } = this.#options;
    const held = this.#held;
    const { bytes, ended, running } = this.#relieve(wanted, why);
    counters.memoryBudgetFrameBytes += bytes;
    if (bytes > 0) {
      counters.memoryBudgetReached++;
      this.#tell(
        'dropped',
        `frames of ${ended} ended and ${running} running processes are dropped, ${bytes} bytes at first`,
        held,
      );
    }
    if (this.#held <= this.#limit) {
      this.#nextRound = this.#limit;
    }
  }

  #tell(kind: 'dropped' | 'refused', what: string, held = this.#held): void {
    if (this.#told.has(kind)) {
      return;
    }
    this.#told.add(kind);
    this.#options.log.warn(
      'Server',
      `memory budget of ${this.#limit} bytes reached (memory-budget, ${held} held): ${what}`,
    );
  }
}

function limitOf(bytes: number): number {
  return bytes === 0 ? Number.POSITIVE_INFINITY : bytes;
}

/** Counts nothing: for parts that are used by themselves. */
export const noByteCount: ByteCount = { take: () => {}, give: () => {} };
