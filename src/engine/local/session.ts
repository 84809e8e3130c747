/** One process: its frames, its numbering, its stdin counter and its end (spec process.md §2). */
import type { Child, OutputName, SignalName, SpawnRequest } from '../../../platform/processes.ts';
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import type { Timings } from '../../base/timings.ts';
import { FrameWriter, type KilledBy, maxFrameData, outputEncoder } from '../../wire/frames.ts';
import type { Profile } from '../../wire/profile.ts';
import { Feed, type FeedOwner } from './feed.ts';
import type { Pace } from './pace.ts';
import { StdinLedger } from './stdin-ledger.ts';
import { ReplayWindow } from './window.ts';

/** Serialized frames kept per process (spec process.md §9). */
export const windowBytes = 16_777_216;

export interface SessionContext {
  readonly profile: Profile;
  readonly log: Log;
  readonly counters: Counters;
  readonly timings: Timings;
  readonly pace: Pace;
}

export type SessionState =
  | 'running'
  /** The OS process has ended, somebody still holds its output open. */
  | 'draining'
  /** The exit frame is out. */
  | 'exited';

export type KillOutcome = 'died' | 'alreadyExited' | 'alive' | 'diedEscalated' | 'aliveEscalated';

type ChildEvents = Pick<SpawnRequest, 'maxChunkBytes' | 'readBuffer' | 'onOutput' | 'onOutputEnd' | 'onEnd'>;

export class Session {
  readonly id: string;
  /** Agent session this spawn belongs to (session-key.ts). */
  readonly key: string | undefined;
  /** argv from 1 on, as the client sent it. */
  readonly args: readonly string[];
  readonly #context: SessionContext;
  /** From `began` on; before, nobody knows this process. */
  #child!: Child;
  readonly #frames: FrameWriter;
  readonly #window: ReplayWindow;
  readonly #ledger: StdinLedger;
  readonly #exited = Promise.withResolvers<void>();
  #state: SessionState = 'running';
  #exitedAt: number | undefined;
  #killedBy: KilledBy | undefined;
  #feed: Feed | undefined;
  #openOutputs = 2;
  #drainTimer: NodeJS.Timeout | undefined;
  /** Full reads since the others had their turn. */
  #chunks = 0;
  #paused: OutputName[] = [];
  #toldEviction = false;

  /** A process that is about to be started: with its `events` in the request, and `began` right after. */
  constructor({ id, key, args }: Pick<Session, 'id' | 'key' | 'args'>, context: SessionContext) {
    this.id = id;
    this.key = key;
    this.args = args;
    this.#context = context;
    this.#frames = new FrameWriter(id);
    this.#window = new ReplayWindow(windowBytes, { onEvict: (seq) => this.#evicting(seq) });
    this.#ledger = new StdinLedger(context.profile.process, {
      isRunning: () => this.running,
      write: (bytes, done) => {
        context.counters.stdinBytes += bytes.length;
        this.#child.writeInput(bytes, done);
      },
      onQueueFull: () => this.#stdinQueueFull(),
      onRefused: (bytes) => {
        context.counters.stdinRefusedBytes += bytes;
      },
    });
  }

  /** What the child tells this session. */
  get events(): ChildEvents {
    return {
      maxChunkBytes: maxFrameData,
      readBuffer: outputEncoder().input,
      onOutput: (stream, bytes) => this.#output(stream, bytes),
      onOutputEnd: () => this.#outputEnded(),
      onEnd: () => this.#childEnded(),
    };
  }

  /** The child runs. */
  began(child: Child): void {
    this.#child = child;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** OS creation time in seconds since the epoch, read once at the spawn (spec process.md §3.7). */
  get startTime(): number {
    return this.#child.startTime;
  }

  get state(): SessionState {
    return this.#state;
  }

  /** "Running" as the profile counts it (spec process.md §2). */
  get running(): boolean {
    return this.#context.profile.process.runningFlipsAt === 'reap'
      ? this.#state === 'running'
      : this.#state !== 'exited';
  }

  /** `performance.now()` of the exit frame. */
  get exitedAt(): number | undefined {
    return this.#exitedAt;
  }

  get firstSeq(): number {
    return this.#window.firstSeq;
  }

  get lastSeq(): number {
    return this.#window.lastSeq;
  }

  /** Bytes of frames kept for replays. */
  get replayBytes(): number {
    return this.#window.bytes;
  }

  get stdin(): StdinLedger {
    return this.#ledger;
  }

  // ---- readers

  /**
   * Makes `owner` the only receiver. A new receiver starts behind the newest frame; `Feed.replay` brings older ones.
   * @returns the owner's feed, the same one when it was attached already
   */
  attach(owner: FeedOwner): Feed {
    if (this.#feed?.owner === owner) {
      return this.#feed;
    }
    const old = this.#feed;
    const feed = new Feed(this.id, owner, this.#window, this.#left);
    this.#feed = feed;
    owner.feedAttached(feed);
    if (old !== undefined) {
      // What an unfinished reattach has promised the old connection is still sent; nothing newer is.
      old.stopLive();
      old.owner.feedReplaced(old);
    }
    return feed;
  }

  /** Output goes on being kept. */
  readonly #left = (feed: Feed): void => {
    if (this.#feed === feed) {
      this.#feed = undefined;
    }
  };

  /** Takes the process away from its receiver: its id was used again, or it is being forgotten. */
  dropReceiver(): void {
    const feed = this.#feed;
    if (feed === undefined) {
      return;
    }
    feed.leave();
    feed.owner.feedGone(feed);
  }

  /**
   * The table has let go of this process and it will write no more. Its receiver gets what is left of it and holds its
   * frames no longer than that takes.
   */
  finishReceiver(): void {
    const feed = this.#feed;
    this.#feed = undefined;
    feed?.finish();
  }

  /** Whether `owner` is attached. */
  isReceivedBy(owner: FeedOwner): boolean {
    return this.#feed?.owner === owner;
  }

  #evicting(seq: number): void {
    this.#context.counters.replayEvictedFrames++;
    if (!this.#toldEviction) {
      this.#toldEviction = true;
      this.#context.log.warn(
        'process.Manager',
        `Process ${this.id}: replay window full (${windowBytes} bytes); dropping oldest frames`,
      );
    }
    this.#feed?.evicting(seq);
  }

  // ---- output

  #output(stream: OutputName, bytes: Buffer): boolean {
    this.#context.counters.streamBytes += bytes.length;
    const seq = this.#window.lastSeq + 1;
    this.#window.append(this.#frames.dataSize(stream, seq, bytes.length), (target, offset) =>
      this.#frames.writeData(target, offset, stream, seq, bytes),
    );
    if (bytes.length < maxFrameData) {
      // The pipe is empty now, and libuv goes on to something else by itself.
      this.#chunks = 0;
      this.#feed?.ready(false);
      return true;
    }
    this.#feed?.ready();
    if (++this.#chunks < this.#context.pace.chunksPerTurn) {
      return true;
    }
    if (this.#paused.push(stream) === 1) {
      setImmediate(this.#newTurn);
    }
    return false;
  }

  readonly #newTurn = (): void => {
    this.#chunks = 0;
    const paused = this.#paused;
    this.#paused = [];
    for (const stream of paused) {
      this.#child.resume(stream);
    }
  };

  #outputEnded(): void {
    this.#openOutputs--;
    this.#exitIfComplete();
  }

  // ---- end

  #childEnded(): void {
    this.#state = 'draining';
    this.#context.counters.processExits++;
    if (!this.running) {
      this.#ledger.processEnded();
    }
    if (this.#openOutputs > 0) {
      this.#drainTimer = setTimeout(() => this.#drainExpired(), this.#context.timings.pipeDrainMs);
    }
    this.#exitIfComplete();
  }

  #drainExpired(): void {
    this.#context.log.warn(
      'process.Manager',
      `Process ${this.id}: pipe drain grace expired (grandchild holding stdio?); force-closing`,
    );
    this.#child.closeOutput();
  }

  #exitIfComplete(): void {
    if (this.#state !== 'draining' || this.#openOutputs > 0) {
      return;
    }
    clearTimeout(this.#drainTimer);
    const status = this.#child.collect();
    const frame = this.#frames.exit(
      this.#window.lastSeq + 1,
      status,
      this.#context.profile.process.exitFrameSignal,
      this.#killedBy,
    );
    this.#window.append(frame.length, (target, offset) => frame.copy(target, offset));
    this.#state = 'exited';
    this.#exitedAt = performance.now();
    this.#child.closeInput();
    this.#ledger.processEnded();
    this.#logExit(status.code, status.signal);
    this.#feed?.ready();
    this.#exited.resolve();
  }

  #logExit(code: number, signal: string | undefined): void {
    const terminated = signal === undefined ? '' : `, terminated by ${signal}`;
    const asked = this.#killedBy === undefined ? '' : `, signalled at ${this.#killedBy} request`;
    this.#context.log.info('process.Manager', `Process ${this.id} exited with code ${code}${terminated}${asked}`);
  }

  #stdinQueueFull(): void {
    this.#context.counters.stdinQueueFull++;
    this.#context.log.warn(
      'process.Manager',
      `Process ${this.id}: stdin queue full (${this.#context.profile.process.stdinQueueMax} bytes); the child does not read`,
    );
  }

  // ---- kill

  /** Sends one signal; a child seen as ended gets none, because its pid may be somebody else's soon. */
  signal(name: SignalName, by: KilledBy): void {
    if (this.#state !== 'running') {
      return;
    }
    this.#killedBy ??= by;
    this.#tellFailure(this.#child.signal(name, name === 'KILL' ? 'tree' : 'child'));
  }

  /** Ends everything in the child's group, also when only group members are left to hold the pipes. */
  killTree(by: KilledBy): void {
    if (this.#state === 'exited') {
      return;
    }
    if (this.#state === 'running') {
      this.#killedBy ??= by;
    }
    this.#tellFailure(this.#child.signal('KILL', 'tree'));
  }

  /** spec process.md §7, from step 2 on. */
  async killAndWait(name: SignalName, graceMs: number, escalate: boolean): Promise<KillOutcome> {
    if (this.#state === 'exited') {
      return 'alreadyExited';
    }
    this.signal(name, 'client');
    if (await this.waitForExit(graceMs)) {
      return 'died';
    }
    if (!escalate) {
      return 'alive';
    }
    this.killTree('client');
    return (await this.waitForExit(this.#context.timings.killEscalatedMs)) ? 'diedEscalated' : 'aliveEscalated';
  }

  /** Whether the exit frame came within the time. */
  async waitForExit(timeoutMs: number): Promise<boolean> {
    if (this.#state === 'exited') {
      return true;
    }
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(limit.resolve, timeoutMs);
    await Promise.race([this.#exited.promise, limit.promise]);
    clearTimeout(timer);
    return this.#exitedAt !== undefined;
  }

  /** Resolves with the exit frame. */
  get exited(): Promise<void> {
    return this.#exited.promise;
  }

  #tellFailure(failure: string | undefined): void {
    if (failure === undefined) {
      return;
    }
    this.#context.log.warn('process.Manager', `KillAndWait ${this.id}: group kill failed: ${failure}`);
  }
}
