/**
 * Steady reader (spec wire.md §2): a receiver that takes bytes more slowly than its program writes them paces the program, as
 * any pipe would. One that takes no byte for a while holds it back no longer.
 */

/** With so many bytes of live frames waiting, the program's pipes are read no more; below so many they are read again. */
export const pauseAboveBytes = 8 * 1024 * 1024;
export const resumeBelowBytes = 4 * 1024 * 1024;
/** The same while the memory budget is reached: a hundred clients behind by eight megabytes each would be most of it. */
export const shortOfMemory = { pauseAboveBytes: 512 * 1024, resumeBelowBytes: 256 * 1024 } as const;
/** The receiver is looked at so many times during the limit. */
const looksPerLimit = 10;

export interface PacedReceiver {
  /** Bytes of live frames that wait for it. */
  readonly liveBytes: number;
  readonly reader: { progress(): number };
}

export interface PacingOptions {
  /** `drop` never paces (key `slow-reader`). */
  readonly mode: 'pace' | 'drop';
  /** A receiver that takes no byte for so long has stalled (timer `readerStall`). */
  readonly readerStallMs: number;
  /** Whether the memory budget is reached. */
  isShortOfMemory(): boolean;
  onPause(): void;
  /** @param pausedMs how long the program was held back; also when the receiver has stalled or gone */
  onResume(pausedMs: number, why: 'caughtUp' | 'stalled' | 'over'): void;
}

/** The pacing of one process. */
export class Pacing {
  readonly #options: PacingOptions;
  /** `suspended`: whatever waits, the program is not held back until its receiver has caught up. */
  #state: 'free' | 'paused' | 'suspended' = 'free';
  #receiver: PacedReceiver | undefined;
  #ended = false;
  #pausedAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #lastProgress = 0;
  #lastProgressAt = 0;

  constructor(options: PacingOptions) {
    this.#options = options;
  }

  /** Whether the pipes are not to be read now. */
  get paused(): boolean {
    return this.#state === 'paused';
  }

  /** The receiver of the process from now on; `undefined`: it has none, so nothing holds the program back. */
  receivedBy(receiver: PacedReceiver | undefined): void {
    this.#resume('over');
    this.#state = 'free';
    this.#receiver = receiver;
  }

  /** The program has written. @returns whether its pipes are to be read on */
  written(): boolean {
    if (this.#state === 'free' && this.#receiver !== undefined) {
      const mostBytes = this.#options.isShortOfMemory() ? shortOfMemory.pauseAboveBytes : pauseAboveBytes;
      if (this.#receiver.liveBytes > mostBytes) {
        this.#pause(this.#receiver);
      }
    }
    return this.#state !== 'paused';
  }

  /** The receiver has taken frames. */
  taken(): void {
    if (this.#state === 'free' || this.#receiver === undefined) {
      return;
    }
    const leastBytes = this.#options.isShortOfMemory() ? shortOfMemory.resumeBelowBytes : resumeBelowBytes;
    if (this.#receiver.liveBytes < leastBytes) {
      this.#resume('caughtUp');
      this.#state = 'free';
    }
  }

  /** The process was asked to end: what it still writes is read, until its receiver has caught up once. */
  suspend(): void {
    this.#resume('over');
    const waiting = this.#receiver?.liveBytes ?? 0;
    this.#state = waiting < resumeBelowBytes ? 'free' : 'suspended';
  }

  /** The process has ended: what it left in its pipes is read, whoever is slow. */
  end(): void {
    this.#ended = true;
    this.#resume('over');
  }

  #pause(receiver: PacedReceiver): void {
    if (this.#ended || this.#options.mode === 'drop') {
      return;
    }
    this.#state = 'paused';
    this.#pausedAt = performance.now();
    this.#lastProgressAt = this.#pausedAt;
    this.#lastProgress = receiver.reader.progress();
    this.#timer = setInterval(() => this.#look(receiver), this.#options.readerStallMs / looksPerLimit).unref();
    this.#options.onPause();
  }

  #look(receiver: PacedReceiver): void {
    const progress = receiver.reader.progress();
    const now = performance.now();
    if (progress !== this.#lastProgress) {
      this.#lastProgress = progress;
      this.#lastProgressAt = now;
    } else if (now - this.#lastProgressAt >= this.#options.readerStallMs) {
      this.#resume('stalled');
      this.#state = 'suspended';
    }
  }

  #resume(why: 'caughtUp' | 'stalled' | 'over'): void {
    if (this.#state !== 'paused') {
      return;
    }
    clearInterval(this.#timer);
    this.#state = 'free';
    this.#options.onResume(performance.now() - this.#pausedAt, why);
  }
}
