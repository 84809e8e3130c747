/**
 * The way of one process's output: numbered, framed and kept in the window, and read only as fast as the others may expect
 * (fair-share.ts) and the receiver wants (pacing.ts).
 */
import type { OutputName } from '../../../platform/processes.ts';
import type { Counters } from '../../base/counters.ts';
import { messageOf } from '../../base/error-texts.ts';
import type { Log } from '../../base/log.ts';
import type { MemoryBudget } from '../../base/memory-budget.ts';
import type { Timings } from '../../base/timings.ts';
import { type ExitStatus, FrameWriter, type KilledBy } from '../../wire/frames.ts';
import type { FairShare } from './fair-share.ts';
import { type PacedReceiver, Pacing, shortOfMemory } from './pacing.ts';
import { ReplayWindow, windowBytes } from './replay-window.ts';
import type { BlockSource } from './slab.ts';
import type { SpoolPlace } from './spool.ts';

export interface OutputContext {
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly counters: Pick<
    Counters,
    'streamBytes' | 'replayEvictedFrames' | 'spooledBytes' | 'spoolFailures' | 'paced' | 'pacedMs'
  >;
  readonly timings: Pick<Timings, 'readerStallMs'>;
  readonly share: FairShare;
  /** Counts what is kept of the output. */
  readonly budget: Pick<MemoryBudget, 'take' | 'give' | 'isReached'>;
  /** Where much output is kept; `undefined`: in ordinary memory. */
  readonly blocks?: BlockSource | undefined;
  /** Where output goes that falls out of memory (key `spool-bytes`); `undefined`: nowhere. */
  readonly spool?: SpoolPlace | undefined;
  /** Key `slow-reader`. */
  readonly slowReader: 'pace' | 'drop';
}

export interface OutputOwner {
  readonly id: string;
  /** Frames were added. @param more whether more are about to come in this turn of the loop */
  framesReady(more: boolean): void;
  /** Frame `seq` is about to leave the window. */
  evicting(seq: number): void;
  /** This output is to be read on. */
  resume(stream: OutputName): void;
  /** The program is held back for its receiver, or goes on. */
  pacingChanged(event: 'paced' | 'resumed'): void;
}

export class SessionOutput {
  readonly window: ReplayWindow;
  readonly #owner: OutputOwner;
  readonly #context: OutputContext;
  readonly #frames: FrameWriter;
  /** Made when a receiver falls behind for the first time. */
  #pacing: Pacing | undefined;
  #receiver: PacedReceiver | undefined;
  #ended = false;
  #outBytes = 0;
  #errBytes = 0;
  #lastAt: number | undefined;
  /** Full reads since the others had their turn. */
  #reads = 0;
  /** Outputs that wait for the next turn of the loop, or for the receiver. */
  #waiting: OutputName[] = [];
  #turnComes = false;
  #toldEviction = false;
  /** `undefined`: there is no spool. */
  readonly #spoolBytes: number | undefined;
  #toldSpoolFailure = false;
  #givesBack = false;
  #toldPacing = false;

  constructor(owner: OutputOwner, context: OutputContext) {
    this.#owner = owner;
    this.#context = context;
    this.#frames = new FrameWriter(owner.id);
    const { budget: held, blocks, spool } = context;
    this.#spoolBytes = spool?.maxBytes;
    this.window = new ReplayWindow(
      windowBytes,
      {
        onEvict: (seq, count) => this.#evicting(seq, count),
        onSpooled: (bytes) => {
          context.counters.spooledBytes += bytes;
        },
        onSpoolFailure: (error) => this.#spoolFailed(error),
      },
      { held, blocks, spool },
    );
  }

  /** Raw bytes, ever. */
  get bytes(): { readonly stdout: number; readonly stderr: number } {
    return { stdout: this.#outBytes, stderr: this.#errBytes };
  }

  /** Of the last output, in milliseconds since the epoch. */
  get lastAt(): number | undefined {
    return this.#lastAt;
  }

  get paced(): boolean {
    return this.#pacing?.paused ?? false;
  }

  /**
   * One read of the child's output.
   * @param isFull it filled the buffer, so there may be more
   * @returns whether the stream is to be read on now
   */
  write(stream: OutputName, bytes: Buffer, isFull: boolean): boolean {
    this.#context.counters.streamBytes += bytes.length;
    this.#lastAt = Date.now();
    if (stream === 'stdout') {
      this.#outBytes += bytes.length;
    } else {
      this.#errBytes += bytes.length;
    }
    const seq = this.window.lastSeq + 1;
    this.window.append(this.#frames.dataSize(stream, seq, bytes.length), (target, offset) =>
      this.#frames.writeData(target, offset, stream, seq, bytes),
    );
    const isWanted = this.#isWanted();
    if (!isFull) {
      // The pipe is empty now, and libuv goes on to something else by itself.
      this.#reads = 0;
      this.#owner.framesReady(false);
    } else {
      this.#reads++;
      this.#owner.framesReady(true);
    }
    if (isWanted && this.#reads < this.#context.share.readsPerTurn) {
      return true;
    }
    this.#waiting.push(stream);
    if (isWanted) {
      this.#takeNewTurn();
    }
    return false;
  }

  /** The last frame. @param named whether the profile's exit frame names signals */
  writeExit(status: ExitStatus, named: boolean, killedBy: KilledBy | undefined): void {
    const frame = this.#frames.exit(this.window.lastSeq + 1, status, named, killedBy);
    this.window.append(frame.length, (target, offset) => frame.copy(target, offset));
    this.window.close();
    this.#owner.framesReady(true);
  }

  /**
   * Gives memory of frames back (relief.ts).
   * @param before only of frames before this one
   * @returns bytes of the frames that went
   */
  giveBack(toBytes: number, before: number): number {
    this.#givesBack = true;
    const gave = this.window.shrink(toBytes, before);
    this.#givesBack = false;
    return gave;
  }

  // ---- the receiver's pace

  receivedBy(receiver: PacedReceiver | undefined): void {
    this.#receiver = receiver;
    this.#pacing?.receivedBy(receiver);
  }

  /** The receiver has taken frames. */
  taken(): void {
    this.#pacing?.taken();
  }

  /** The process was asked to end. */
  suspendPacing(): void {
    this.#pacing?.suspend();
  }

  /** The process has ended: what it has left in its pipes is read, whoever is slow. */
  endPacing(): void {
    this.#ended = true;
    this.#pacing?.end();
  }

  /** Whether the receiver wants the pipes to be read on. */
  #isWanted(): boolean {
    const receiver = this.#receiver;
    if (this.#pacing === undefined) {
      if (receiver === undefined || receiver.liveBytes <= shortOfMemory.pauseAboveBytes || this.#ended) {
        return true;
      }
      this.#pacing = new Pacing({
        mode: this.#context.slowReader,
        readerStallMs: this.#context.timings.readerStallMs,
        isShortOfMemory: () => this.#context.budget.isReached,
        onPause: () => this.#heldBack(),
        onResume: (pausedMs, why) => this.#goesOn(pausedMs, why),
      });
      this.#pacing.receivedBy(receiver);
    }
    return this.#pacing.written();
  }

  #heldBack(): void {
    const { counters, log } = this.#context;
    counters.paced++;
    if (!this.#toldPacing) {
      this.#toldPacing = true;
      log.info(
        'process.Manager',
        `Process ${this.#owner.id}: its client reads more slowly than it writes; holding it back`,
      );
    }
    this.#owner.pacingChanged('paced');
  }

  #goesOn(pausedMs: number, why: 'caughtUp' | 'stalled' | 'over'): void {
    const { counters, log, timings } = this.#context;
    counters.pacedMs += pausedMs;
    if (why === 'stalled') {
      log.warn(
        'process.Manager',
        `Process ${this.#owner.id}: its client has read nothing for ${timings.readerStallMs / 1000} s; holding it back no longer`,
      );
    }
    this.#owner.pacingChanged('resumed');
    this.#takeNewTurn();
  }

  // ---- turns

  #takeNewTurn(): void {
    if (!this.#turnComes) {
      this.#turnComes = true;
      setImmediate(this.#newTurn);
    }
  }

  readonly #newTurn = (): void => {
    this.#turnComes = false;
    this.#reads = 0;
    if (this.paced) {
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const stream of waiting) {
      this.#owner.resume(stream);
    }
  };

  #evicting(seq: number, count: number): void {
    const { counters, log } = this.#context;
    counters.replayEvictedFrames += count;
    if (!this.#toldEviction && !this.#givesBack) {
      this.#toldEviction = true;
      const full =
        this.#spoolBytes === undefined
          ? `replay window full (${windowBytes} bytes)`
          : `replay window and spool full (${windowBytes} + ${this.#spoolBytes} bytes, spool-bytes)`;
      log.warn('process.Manager', `Process ${this.#owner.id}: ${full}; dropping oldest frames`);
    }
    this.#owner.evicting(seq);
  }

  #spoolFailed(error: unknown): void {
    const { counters, log } = this.#context;
    counters.spoolFailures++;
    if (!this.#toldSpoolFailure) {
      this.#toldSpoolFailure = true;
      log.warn(
        'process.Manager',
        `Process ${this.#owner.id}: its spool failed (${messageOf(error)}); what was in it is lost, and the newest ${windowBytes} bytes are kept; free space where the run directory is`,
      );
    }
  }
}
