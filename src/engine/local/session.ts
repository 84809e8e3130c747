/** One process: its frames, its numbering, its stdin counter, its readers and its end (spec process.md §2). */
import type { Child, SpawnRequest as ChildRequest, OutputName, SignalName } from '../../../platform/processes.ts';
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import type { Timings } from '../../base/timings.ts';
import { FrameWriter, type KilledBy, maxFrameData, outputEncoder } from '../../wire/frames.ts';
import type { Profile } from '../../wire/profile.ts';
import type { Mark } from '../mark.ts';
import type {
  EndResult,
  InputResult,
  MaybePromise,
  Opened,
  Reader,
  ReaderRole,
  SessionEvent,
  SessionExit,
  SessionInfo,
  SessionState,
} from '../session-engine.ts';
import type { FairShare } from './fair-share.ts';
import { Feed, type FeedOwner } from './feed.ts';
import { Pacing, pauseAboveBytes } from './pacing.ts';
import { ReplayWindow, windowBytes } from './replay-window.ts';
import { StdinLedger } from './stdin-ledger.ts';

export interface SessionContext {
  readonly profile: Pick<Profile, 'process'>;
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly counters: Counters;
  readonly timings: Timings;
  readonly share: FairShare;
  /** Key `slow-reader`. */
  readonly slowReader: 'pace' | 'drop';
}

/** What the request for a process says about it. */
export interface SessionDescription {
  readonly id: string;
  /** Agent session this spawn belongs to (session-key.ts). */
  readonly key: string | undefined;
  readonly command: string;
  /** argv from 1 on, as the client sent it. */
  readonly args: readonly string[];
  /** As sent. */
  readonly cwd: string | undefined;
  readonly door: string | undefined;
}

type ChildEvents = Pick<ChildRequest, 'maxChunkBytes' | 'readBuffer' | 'onOutput' | 'onOutputEnd' | 'onEnd'>;

/** What a listener is told of one session; the engine adds whose event it is. */
type Happening = SessionEvent extends infer Event
  ? Event extends SessionEvent
    ? Omit<Event, 'id' | 'pid' | 'at' | 'replaced'>
    : never
  : never;

export class Session implements FeedOwner {
  readonly description: SessionDescription;
  readonly window: ReplayWindow;
  readonly #context: SessionContext;
  readonly #tell: (event: SessionEvent) => void;
  readonly #frames: FrameWriter;
  // Most processes need none of these, and a daemon keeps many that have ended: made when they are first needed.
  #stdin: StdinLedger | undefined;
  #pacing: Pacing | undefined;
  #observers: Set<Feed> | undefined;
  #whenExited: (() => void)[] | undefined;
  /** From `began` on; before, nobody knows this process. */
  #child!: Child;
  #state: SessionState = 'running';
  #spawnedAt = 0;
  /** `performance.now()` of the exit frame. */
  #exitedAt: number | undefined;
  #exit: SessionExit | undefined;
  #killedBy: KilledBy | undefined;
  #receiver: Feed | undefined;
  #attachChangedAt = 0;
  #exitSeen = false;
  #openOutputs = 2;
  #outBytes = 0;
  #errBytes = 0;
  #drainTimer: NodeJS.Timeout | undefined;
  /** Full reads since the others had their turn. */
  #chunks = 0;
  /** Outputs that wait for the next turn of the loop, or for the receiver. */
  #paused: OutputName[] = [];
  #turnComes = false;
  #toldEviction = false;
  #toldPacing = false;
  /** The table leads to this process no more. */
  #replaced = false;

  /** A process that is about to be started: with its `events` in the request, and `began` right after. */
  constructor(
    description: SessionDescription,
    context: SessionContext,
    tell: (event: SessionEvent) => void = () => {},
  ) {
    this.description = description;
    this.#context = context;
    this.#tell = tell;
    this.#frames = new FrameWriter(description.id);
    this.window = new ReplayWindow(windowBytes, { onEvict: (seq) => this.#evicting(seq) });
  }

  get stdin(): StdinLedger {
    const { profile, counters } = this.#context;
    this.#stdin ??= new StdinLedger(profile.process, {
      isRunning: () => this.running,
      write: (bytes, done) => {
        counters.stdinBytes += bytes.length;
        this.#child.writeInput(bytes, done);
      },
      end: () => this.#child.closeInput(),
      onQueueFull: () => this.#stdinQueueFull(),
      onRefused: (bytes) => {
        counters.stdinRefusedBytes += bytes;
      },
    });
    return this.#stdin;
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
    this.#spawnedAt = Date.now();
    this.#attachChangedAt = this.#spawnedAt;
    this.#happened({ event: 'spawned', marks: child.marks });
  }

  get id(): string {
    return this.description.id;
  }

  get pid(): number {
    return this.#child.pid;
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

  info(): SessionInfo {
    const { id, command, args, cwd, door } = this.description;
    return {
      id,
      pid: this.pid,
      startTime: this.#child.startTime,
      command,
      args,
      cwd,
      state: this.#state,
      spawnedAt: this.#spawnedAt,
      exit: this.#exit,
      attached: this.#receiver !== undefined,
      observers: this.#observers?.size ?? 0,
      sinceAttachChange: this.#attachChangedAt,
      unseenExit: this.#state === 'exited' && !this.#exitSeen,
      firstSeq: this.window.firstSeq,
      lastSeq: this.window.lastSeq,
      outBytes: this.#outBytes,
      errBytes: this.#errBytes,
      inBytes: this.#stdin?.applied ?? 0,
      stdinQueued: this.#stdin?.queued ?? 0,
      stdinClosed: this.#stdin?.closed ?? false,
      windowBytes: this.window.bytes,
      paced: this.#pacing?.paused ?? false,
      door,
      replaced: this.#replaced,
    };
  }

  // ---- readers

  /** The first receiver: the reply of the spawn stands before every frame. */
  open(reader: Reader): Opened {
    const mark = this.#receive(reader).markHere();
    return this.#opened(mark, false);
  }

  /** Replays frames from `fromSeq + 1` on; the reply stands behind them and before the live frames. */
  attach(reader: Reader, role: ReaderRole, fromSeq: number, existing = false): Opened {
    const feed = role === 'receiver' ? this.#receive(reader) : this.#observe(reader);
    return this.#opened(feed.replay(fromSeq), existing);
  }

  /** What the reply says is what is so when the request takes effect, however late its place comes. */
  #opened(mark: Mark, existing: boolean): Opened {
    const child = this.#child;
    return {
      existing,
      running: this.running,
      firstSeq: this.window.firstSeq,
      lastSeq: this.window.lastSeq,
      stdinApplied: this.#stdin?.applied ?? 0,
      pid: child.pid,
      // Reading it asks the system, which a spawn that does not tell it should not wait for.
      get startTime() {
        return child.startTime;
      },
      mark,
    };
  }

  /** @returns the feed of the only receiver, the same one when the reader is attached already */
  #receive(reader: Reader): Feed {
    if (this.#receiver?.reader === reader) {
      return this.#receiver;
    }
    const old = this.#receiver;
    const feed = new Feed(this, reader, 'receiver');
    this.#setReceiver(feed);
    reader.attached(feed);
    if (old !== undefined) {
      // What an unfinished reattach has promised the old reader is still sent; nothing newer is.
      old.stopLive();
      old.reader.replaced(old);
    }
    return feed;
  }

  #observe(reader: Reader): Feed {
    this.#observers ??= new Set();
    for (const feed of this.#observers) {
      if (feed.reader === reader) {
        return feed;
      }
    }
    const feed = new Feed(this, reader, 'observer');
    this.#observers.add(feed);
    reader.attached(feed);
    return feed;
  }

  /** @returns whether the reader did observe this process */
  unobserve(reader: Reader): boolean {
    for (const feed of this.#observers ?? []) {
      if (feed.reader === reader) {
        feed.leave();
        reader.over(feed);
        return true;
      }
    }
    return false;
  }

  #setReceiver(feed: Feed | undefined): void {
    const before = this.#receiver;
    this.#receiver = feed;
    this.#pacing?.receivedBy(feed);
    this.#attachChangedAt = Date.now();
    if (before !== undefined) {
      this.#happened({ event: 'detached' });
    }
    if (feed !== undefined) {
      this.#happened({ event: 'attached' });
    }
  }

  /** Output goes on being kept. */
  left(feed: Feed): void {
    if (this.#receiver === feed) {
      this.#setReceiver(undefined);
    }
    this.#observers?.delete(feed);
  }

  taken(feed: Feed, lastSeq: number): void {
    if (feed !== this.#receiver) {
      return;
    }
    this.#pacing?.taken();
    if (this.#state === 'exited' && lastSeq === this.window.lastSeq) {
      this.#exitSeen = true;
    }
  }

  /** Takes the process away from its readers at once: its id was used again. */
  dropReaders(): void {
    for (const feed of this.#readers()) {
      feed.leave();
      feed.reader.over(feed);
    }
  }

  /**
   * The table has let go of this process and it will write no more. Its readers get what is left of it and hold its frames
   * no longer than that takes.
   */
  finishReaders(): void {
    const feeds = this.#readers();
    if (this.#receiver !== undefined) {
      this.#setReceiver(undefined);
    }
    this.#observers?.clear();
    for (const feed of feeds) {
      feed.finish();
    }
  }

  #readers(): Feed[] {
    const observers = this.#observers ?? [];
    return this.#receiver === undefined ? [...observers] : [this.#receiver, ...observers];
  }

  /** Whether `reader` is the receiver. */
  isReceivedBy(reader: Reader): boolean {
    return this.#receiver?.reader === reader;
  }

  #readBy(reader: Reader | undefined): Feed | undefined {
    return reader === undefined ? undefined : this.#readers().find((feed) => feed.reader === reader);
  }

  /** Resolves once `reader` has taken the exit frame, if it is the receiver. The process has ended. */
  async exitTakenBy(reader: Reader): Promise<void> {
    if (this.#receiver?.reader === reader) {
      await this.#receiver.whenTaken(this.window.lastSeq);
    }
  }

  #ready(more?: boolean): void {
    this.#receiver?.ready(more);
    if (this.#observers !== undefined) {
      for (const feed of this.#observers) {
        feed.ready(more);
      }
    }
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
    for (const feed of this.#observers ?? []) {
      feed.evicting(seq);
    }
    this.#receiver?.evicting(seq);
  }

  // ---- output

  #output(stream: OutputName, bytes: Buffer): boolean {
    this.#context.counters.streamBytes += bytes.length;
    if (stream === 'stdout') {
      this.#outBytes += bytes.length;
    } else {
      this.#errBytes += bytes.length;
    }
    const seq = this.window.lastSeq + 1;
    this.window.append(this.#frames.dataSize(stream, seq, bytes.length), (target, offset) =>
      this.#frames.writeData(target, offset, stream, seq, bytes),
    );
    const goOn = this.#pace();
    if (bytes.length < maxFrameData) {
      // The pipe is empty now, and libuv goes on to something else by itself.
      this.#chunks = 0;
      this.#ready(false);
    } else {
      this.#ready();
      this.#chunks++;
    }
    if (goOn && this.#chunks < this.#context.share.chunksPerTurn) {
      return true;
    }
    this.#paused.push(stream);
    if (goOn) {
      this.#takeNewTurn();
    }
    return false;
  }

  /** @returns whether the pipes are to be read on, as far as the receiver goes */
  #pace(): boolean {
    const receiver = this.#receiver;
    if (this.#pacing === undefined) {
      if (receiver === undefined || receiver.liveBytes <= pauseAboveBytes || this.#state !== 'running') {
        return true;
      }
      this.#pacing = new Pacing({
        mode: this.#context.slowReader,
        readerStallMs: this.#context.timings.readerStallMs,
        onPause: () => this.#heldBack(),
        onResume: (pausedMs, why) => this.#goesOn(pausedMs, why),
      });
      this.#pacing.receivedBy(receiver);
    }
    return this.#pacing.written();
  }

  #takeNewTurn(): void {
    if (!this.#turnComes) {
      this.#turnComes = true;
      setImmediate(this.#newTurn);
    }
  }

  readonly #newTurn = (): void => {
    this.#turnComes = false;
    this.#chunks = 0;
    if (this.#pacing?.paused === true) {
      return;
    }
    const paused = this.#paused;
    this.#paused = [];
    for (const stream of paused) {
      this.#child.resume(stream);
    }
  };

  #heldBack(): void {
    const { counters, log } = this.#context;
    counters.paced++;
    if (!this.#toldPacing) {
      this.#toldPacing = true;
      log.info('process.Manager', `Process ${this.id}: its client reads more slowly than it writes; holding it back`);
    }
    this.#happened({ event: 'paced' });
  }

  #goesOn(pausedMs: number, why: 'caughtUp' | 'stalled' | 'over'): void {
    const { counters, log, timings } = this.#context;
    counters.pacedMs += pausedMs;
    if (why === 'stalled') {
      log.warn(
        'process.Manager',
        `Process ${this.id}: its client has read nothing for ${timings.readerStallMs / 1000} s; holding it back no longer`,
      );
    }
    this.#happened({ event: 'resumed' });
    this.#takeNewTurn();
  }

  #outputEnded(): void {
    this.#openOutputs--;
    this.#exitIfComplete();
  }

  // ---- end

  #childEnded(): void {
    this.#state = 'draining';
    this.#context.counters.processExits++;
    this.#happened({ event: 'ended' });
    this.#pacing?.end();
    if (!this.running) {
      this.#stdin?.processEnded();
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
    const { code, signal } = this.#child.collect();
    const frame = this.#frames.exit(
      this.window.lastSeq + 1,
      { code, signal },
      this.#context.profile.process.exitFrameSignal,
      this.#killedBy,
    );
    this.window.append(frame.length, (target, offset) => frame.copy(target, offset));
    this.#state = 'exited';
    this.#exitedAt = performance.now();
    this.#exit = { at: Date.now(), code, signal, killedBy: this.#killedBy };
    this.#child.closeInput();
    this.#stdin?.processEnded();
    this.#logExit(code, signal);
    this.#ready();
    this.#happened({ event: 'exited', exit: this.#exit });
    for (const tell of this.#whenExited ?? []) {
      tell();
    }
    this.#whenExited = undefined;
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

  /** The table has let go of this process. */
  forgotten(why: 'forgotten' | 'released'): void {
    this.#happened({ event: why });
    this.#replaced = true;
  }

  #happened(happening: Happening): void {
    this.#tell({ id: this.id, pid: this.pid, at: Date.now(), replaced: this.#replaced, ...happening } as SessionEvent);
  }

  // ---- input

  closeInput(offset: bigint): MaybePromise<InputResult> {
    const result = this.stdin.close(offset);
    const tell = (closed: InputResult): InputResult => {
      if (!closed.duplicate) {
        this.#happened({ event: 'stdinClosed' });
      }
      return closed;
    };
    return result instanceof Promise ? result.then(tell) : tell(result);
  }

  // ---- kill

  /** Sends one signal; a child seen as ended gets none, because its pid may be somebody else's soon. */
  signal(name: SignalName, by: KilledBy): void {
    if (this.#state !== 'running') {
      return;
    }
    this.#killedBy ??= by;
    this.#pacing?.suspend();
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
    this.#pacing?.suspend();
    this.#tellFailure(this.#child.signal('KILL', 'tree'));
  }

  /**
   * A signal, and the group's KILL when the exit frame does not come in time (spec process.md §7, from step 2 on).
   * @param asker when it reads this process, its reply stands behind the exit frame
   */
  async signalAndWait(name: SignalName, graceMs: number, escalate: boolean, asker?: Reader): Promise<EndResult> {
    const ended = { found: true, died: true, alreadyExited: false, escalated: false, mark: undefined };
    if (this.#state === 'exited') {
      return { ...ended, alreadyExited: true, mark: this.#markExit(asker) };
    }
    this.signal(name, 'client');
    if (await this.waitForExit(graceMs)) {
      return { ...ended, mark: this.#markExit(asker) };
    }
    if (!escalate) {
      return { ...ended, died: false };
    }
    this.killTree('client');
    const died = await this.waitForExit(this.#context.timings.killEscalatedMs);
    return { ...ended, died, escalated: true, mark: died ? this.#markExit(asker) : undefined };
  }

  #markExit(asker: Reader | undefined): Mark | undefined {
    return this.#readBy(asker)?.markBehind(this.window.lastSeq);
  }

  /** Whether the exit frame came within the time. */
  async waitForExit(timeoutMs: number): Promise<boolean> {
    if (this.#state === 'exited') {
      return true;
    }
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(limit.resolve, timeoutMs);
    await Promise.race([this.exited, limit.promise]);
    clearTimeout(timer);
    return this.#exitedAt !== undefined;
  }

  /** Resolves with the exit frame. */
  get exited(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#state === 'exited') {
        resolve();
      } else {
        this.#whenExited ??= [];
        this.#whenExited.push(resolve);
      }
    });
  }

  #tellFailure(failure: string | undefined): void {
    if (failure === undefined) {
      return;
    }
    this.#context.log.warn('process.Manager', `KillAndWait ${this.id}: group kill failed: ${failure}`);
  }
}
