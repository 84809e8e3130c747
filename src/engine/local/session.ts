/**
 * One process from its start to its exit frame (spec process.md §2). Its output is session-output.ts, its readers
 * session-readers.ts, its input session-input.ts, and how it is ended session-end.ts.
 */
import type { Child, SpawnRequest as ChildRequest, OutputName, SignalName } from '../../../platform/processes.ts';
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import type { MemoryBudget } from '../../base/memory-budget.ts';
import type { Timings } from '../../base/timings.ts';
import { maxFrameData } from '../../wire/frames.ts';
import type { Profile } from '../../wire/profile.ts';
import type { Mark } from '../mark.ts';
import type {
  Activity,
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
import type { Feed } from './feed.ts';
import type { ReplayWindow } from './replay-window.ts';
import { bytesOfWords, type SessionDescription } from './session-description.ts';
import { type EndOwner, SessionEnd } from './session-end.ts';
import { type InputOwner, SessionInput } from './session-input.ts';
import { type OutputContext, type OutputOwner, SessionOutput } from './session-output.ts';
import { type ReadersOwner, SessionReaders } from './session-readers.ts';

export interface SessionContext extends OutputContext {
  readonly profile: Pick<Profile, 'process'>;
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly counters: Counters;
  readonly timings: Timings;
  /** `undefined`: none are written. */
  readonly records?: RecordsOfChildren | undefined;
  /** Counts what is held for this process. */
  readonly budget: Pick<MemoryBudget, 'take' | 'give' | 'isReached' | 'ensureRoom'>;
  /** The whole group of a session was killed. */
  readonly treeKilled?: (session: Session) => void;
}

/** By which a later daemon finds the children of one that has died. */
export interface RecordsOfChildren {
  /** It runs. @param child `id`: of its session */
  add(child: Pick<Child, 'pid' | 'marks' | 'start'> & { readonly id: string }): void;
  /** It has ended; its pid is still taken. */
  remove(pid: number): void;
}

/** What a child tells its session. */
export type ChildEvents = Pick<ChildRequest, 'maxChunkBytes' | 'readBuffer' | 'onOutput' | 'onOutputEnd' | 'onEnd'>;

/** What a listener is told of one session; the engine adds whose event it is. */
type Happening = SessionEvent extends infer Event
  ? Event extends SessionEvent
    ? Omit<Event, 'id' | 'pid' | 'at' | 'replaced'>
    : never
  : never;

export class Session implements OutputOwner, ReadersOwner, InputOwner, EndOwner {
  readonly description: SessionDescription;
  readonly readers = new SessionReaders(this);
  readonly #context: SessionContext;
  /** What the words of its request take; 0 before the start and after the end of everything. */
  #wordBytes = 0;
  readonly #tell: (event: SessionEvent) => void;
  readonly #output: SessionOutput;
  // Many processes need neither, and a daemon keeps those that have ended: made when they are first needed.
  #input: SessionInput | undefined;
  #end: SessionEnd | undefined;
  /** From `began` on; before, nobody knows this process. */
  #child!: Child;
  #state: SessionState = 'running';
  #spawnedAt = 0;
  #attachChangedAt = 0;
  /** `performance.now()` of the exit frame. */
  #exitedAt: number | undefined;
  #exit: SessionExit | undefined;
  #openOutputs = 2;
  #drainTimer: NodeJS.Timeout | undefined;
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
    this.#output = new SessionOutput(this, context);
  }

  get input(): SessionInput {
    this.#input ??= new SessionInput(this, this.#context);
    return this.#input;
  }

  get end(): SessionEnd {
    this.#end ??= new SessionEnd(this, this.#context);
    return this.#end;
  }

  /** What the child tells this session. */
  get events(): ChildEvents {
    return {
      maxChunkBytes: maxFrameData,
      readBuffer: this.#context.share.readBuffer,
      onOutput: (stream, bytes, isFull) => this.#output.write(stream, bytes, isFull),
      onOutputEnd: () => this.#outputEnded(),
      onEnd: () => this.#childEnded(),
    };
  }

  /** The child runs. */
  began(child: Child): void {
    this.#child = child;
    this.#wordBytes = bytesOfWords(this.description);
    this.#context.budget.take(this.#wordBytes);
    this.#spawnedAt = Date.now();
    this.#attachChangedAt = this.#spawnedAt;
    this.#context.records?.add({ id: this.id, pid: child.pid, marks: child.marks, start: child.start });
    this.#happened({ event: 'spawned' });
  }

  get id(): string {
    return this.description.id;
  }

  get window(): ReplayWindow {
    return this.#output.window;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Creation time as `SessionInfo` has it. */
  get startTime(): number {
    return this.#child.startTime;
  }

  get state(): SessionState {
    return this.#state;
  }

  get isComplete(): boolean {
    return this.#state === 'exited';
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
    const { stdout: outBytes, stderr: errBytes } = this.#output.bytes;
    const { firstSeq, lastSeq, bytes: windowBytes, spoolBytes } = this.window;
    const endAsked = this.#end?.asked;
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
      attached: this.readers.receiver !== undefined,
      observers: this.readers.observerCount,
      sinceAttachChange: this.#attachChangedAt,
      unseenExit: this.isComplete && !this.readers.exitSeen,
      firstSeq,
      lastSeq,
      outBytes,
      errBytes,
      inBytes: this.#input?.applied ?? 0,
      stdinQueued: this.#input?.queued ?? 0,
      stdinClosed: this.#input?.closed ?? false,
      windowBytes,
      spoolBytes,
      paced: this.#output.paced,
      door,
      ...(endAsked === undefined ? {} : { endAsked }),
      replaced: this.#replaced,
    };
  }

  // ---- readers

  /** The first receiver: the reply of the spawn stands before every frame. */
  open(reader: Reader, first?: Promise<void>): Opened {
    return this.#opened(this.readers.open(reader, first), false);
  }

  /** Replays frames from `fromSeq + 1` on; the reply stands behind them and before the live frames. */
  attach(reader: Reader, role: ReaderRole, fromSeq: number, existing = false): Opened {
    return this.#opened(this.readers.attach(reader, role, fromSeq), existing);
  }

  /** What the reply says is what is so when the request takes effect, however late its place comes. */
  #opened(mark: Mark, existing: boolean): Opened {
    const child = this.#child;
    return {
      existing,
      running: this.running,
      firstSeq: this.window.firstSeq,
      lastSeq: this.window.lastSeq,
      stdinApplied: this.#input?.applied ?? 0,
      pid: child.pid,
      // Reading it asks the system, which a spawn that does not tell it should not wait for.
      get startTime() {
        return child.startTime;
      },
      mark,
    };
  }

  receiverChanged(before: Feed | undefined, now: Feed | undefined): void {
    this.#output.receivedBy(now);
    this.#attachChangedAt = Date.now();
    if (before !== undefined) {
      this.#happened({ event: 'detached' });
    }
    if (now !== undefined) {
      this.#happened({ event: 'attached' });
    }
  }

  /**
   * Gives memory of frames back for the budget of all (relief.ts).
   * @param toBytes what the window keeps
   * @returns bytes of the frames that went
   */
  giveBack(toBytes: number): number {
    const { slowReader, timings } = this.#context;
    // With `drop` nobody waits for a receiver that is behind.
    const before =
      slowReader === 'drop' ? Number.POSITIVE_INFINITY : this.readers.expendableBefore(timings.readerStallMs);
    return this.#output.giveBack(toBytes, before);
  }

  /** Nobody can ask for this process any more, and it writes no more: its memory is given back. */
  letGo(): void {
    this.#child.letGo?.();
    this.window.letGo();
    this.#context.budget.give(this.#wordBytes);
    this.#wordBytes = 0;
  }

  receiverTook(): void {
    this.#output.taken();
  }

  // ---- output

  framesReady(more: boolean): void {
    this.readers.ready(more);
  }

  evicting(seq: number): void {
    this.readers.evicting(seq);
  }

  resume(stream: OutputName): void {
    this.#child.resume(stream);
  }

  pacingChanged(event: 'paced' | 'resumed'): void {
    this.#happened({ event });
  }

  #outputEnded(): void {
    this.#openOutputs--;
    this.#exitIfComplete();
  }

  // ---- end

  #childEnded(): void {
    this.#state = 'draining';
    this.#context.counters.processExits++;
    this.#context.records?.remove(this.pid);
    this.#output.endPacing();
    if (!this.running) {
      this.#input?.processEnded();
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
    this.#state = 'exited';
    this.#exitedAt = performance.now();
    this.#exit = { at: Date.now(), code, signal, killedBy: this.#end?.killedBy };
    this.#child.closeInput();
    this.#input?.processEnded();
    this.#input?.forgetRecent();
    this.#logExit(code, signal);
    this.#output.writeExit({ code, signal }, this.#context.profile.process.exitFrameSignal, this.#end?.killedBy);
    this.#happened({ event: 'exited', exit: this.#exit });
    this.#end?.tellExited();
  }

  #logExit(code: number, signal: string | undefined): void {
    const terminated = signal === undefined ? '' : `, terminated by ${signal}`;
    const killedBy = this.#end?.killedBy;
    const asked = killedBy === undefined ? '' : `, signalled at ${killedBy} request`;
    this.#context.log.info('process.Manager', `Process ${this.id} exited with code ${code}${terminated}${asked}`);
  }

  /** The table has let go of this process. */
  forgotten(why: 'forgotten' | 'released'): void {
    this.#happened({ event: why });
    this.#replaced = true;
  }

  #happened(happening: Happening): void {
    this.#tell({ ...happening, id: this.id, pid: this.pid, at: Date.now(), replaced: this.#replaced } as SessionEvent);
  }

  // ---- input

  get child(): Pick<Child, 'writeInput' | 'closeInput'> {
    return this.#child;
  }

  get lastSeq(): number {
    return this.window.lastSeq;
  }

  get activity(): Activity {
    return { outputAt: this.#output.lastAt, input: this.#input?.recent ?? [], aside: this.#input?.aside ?? 0 };
  }

  closeInput(offset: bigint): MaybePromise<InputResult> {
    const result = this.input.close(offset);
    const tell = (closed: InputResult): InputResult => {
      if (!closed.duplicate) {
        this.#happened({ event: 'stdinClosed' });
      }
      return closed;
    };
    return result instanceof Promise ? result.then(tell) : tell(result);
  }

  // ---- what its end needs of it

  suspendPacing(): void {
    this.#output.suspendPacing();
  }

  signalChild(name: SignalName, scope: 'tree' | 'child'): string | undefined {
    return this.#child.signal(name, scope);
  }

  endLeft(): void {
    this.#child.endLeft?.();
  }

  treeKilled(): void {
    this.#context.treeKilled?.(this);
  }

  markEnd(reader: Reader | undefined): Mark | undefined {
    return this.readers.markEnd(reader);
  }
}
