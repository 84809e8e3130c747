/** The engine inside this process: its own children by their ids (spec process.md). */
import { setTimeout as delay } from 'node:timers/promises';
import type { Child } from '../../../platform/processes.ts';
import { KeyedQueue } from '../../base/keyed-queue.ts';
import type { MemoryBudget } from '../../base/memory-budget.ts';
import { EngineFailure, TooManySessions } from '../failures.ts';
import type {
  ClosedEngine,
  EndAsker,
  EndRequest,
  EndResult,
  InputPlace,
  InputResult,
  MaybePromise,
  Opened,
  Reader,
  ReaderRole,
  SessionEngine,
  SessionEvent,
  SessionInfo,
  SessionListener,
  SpawnRequest,
} from '../session-engine.ts';
import { ChildStarter, type ChildStarterOptions } from './child-starter.ts';
import { leastWindowBytes, relieve } from './relief.ts';
import { Session, type SessionContext } from './session.ts';
import { sessionKey } from './session-key.ts';
import { SessionTable } from './session-table.ts';
import { endRivals, exitFramesTaken } from './supersede.ts';
import { TreeReaper } from './tree-reaper.ts';

export interface LocalEngineOptions extends SessionContext, ChildStarterOptions {
  readonly log: SessionContext['log'];
  readonly profile: ChildStarterOptions['profile'];
  /** Processes that may run at once; 0 or `undefined`: any number. */
  readonly maxSessions?: number | undefined;
  /** An ended process is kept so long whose exit frame no receiver has; `undefined`: as long as any other. */
  readonly unseenRetentionMs?: number | undefined;
  /** What may be held for all clients together; this engine gives frames back when it is reached. */
  readonly budget: MemoryBudget;
}

const notFound: EndResult = {
  found: false,
  died: false,
  alreadyExited: false,
  escalated: false,
  mark: undefined,
};

export class LocalEngine implements SessionEngine {
  readonly #options: LocalEngineOptions;
  /** The options as sessions see them: some change with the daemon in front of a keeper. */
  readonly #context: SessionContext;
  readonly #table: SessionTable;
  /** Spawns that have neither registered nor failed, by process id. */
  readonly #pendingSpawns = new Map<string, Promise<unknown>>();
  /** Spawns whose process is being started on another thread. */
  readonly #starting = new Set<Promise<unknown>>();
  /** Spawns of one agent session run one after the other. */
  readonly #agentSessions = new KeyedQueue();
  readonly #reaper: TreeReaper;
  readonly #listeners = new Set<SessionListener>();
  readonly #starter: ChildStarter;
  #closed: Promise<ClosedEngine> | undefined;

  constructor(options: LocalEngineOptions) {
    this.#options = options;
    const { platform, timings } = options;
    this.#starter = new ChildStarter(options);
    this.#table = new SessionTable({
      retentionMs: timings.retentionMs,
      unseenRetentionMs: () => options.unseenRetentionMs ?? timings.retentionMs,
      checkMs: timings.retentionCheckMs,
      idReuseKillsOld: () => options.profile.process.idReuseKillsOld,
    });
    const { log, counters } = options;
    this.#reaper = new TreeReaper({
      ...{ platform, log, counters, timings },
      isWanted: () => options.reapTree === true,
      runDirectoryMark: () => options.sessionMarks,
      current: (id) => this.#table.get(id),
    });
    this.#context = Object.assign(Object.create(options), {
      treeKilled: (session: Session) => this.#reaper.reap(session),
    });
    options.budget.relieveBy((wanted, why) => relieve(this.#table, wanted, why));
  }

  // ---- what the others ask

  input(
    id: string,
    bytes: Buffer,
    offset: bigint | undefined,
    gone?: AbortSignal,
    place?: InputPlace,
  ): MaybePromise<InputResult> {
    return this.#inOrder(id, () => this.#known(id).input.offer(bytes, offset, gone, place));
  }

  closeInput(id: string, offset: bigint): MaybePromise<InputResult> {
    return this.#inOrder(id, () => this.#known(id).closeInput(offset));
  }

  attach(
    id: string,
    fromSeq: bigint,
    reader: Reader,
    role: ReaderRole,
    more?: 'activity',
  ): MaybePromise<Opened | undefined> {
    return this.#inOrder(id, () => {
      const session = this.#table.get(id);
      if (session === undefined) {
        return undefined;
      }
      const opened = this.#attach(session, fromSeq, reader, role);
      return more === undefined ? opened : Object.assign(opened, { activity: session.activity });
    });
  }

  #attach(session: Session, fromSeq: bigint, reader: Reader, role: ReaderRole, existing = false): Opened {
    if (role === 'receiver') {
      this.#options.counters.reattaches++;
    }
    // A number beyond every frame asks for no replay; it need not survive the conversion exactly.
    return session.attach(reader, role, Number(fromSeq), existing);
  }

  unobserve(id: string, reader: Reader): MaybePromise<boolean> {
    return this.#inOrder(id, () => {
      let observed = false;
      // Also one that has lost its id to a later process: a client cannot tell the two apart.
      for (const session of this.#table.all) {
        if (session.id === id && session.readers.unobserve(reader)) {
          observed = true;
        }
      }
      return observed;
    });
  }

  end(id: string, how: EndRequest, reader?: Reader): MaybePromise<EndResult> {
    return this.#inOrder(id, () => {
      const session = this.#table.get(id);
      if (session === undefined) {
        return notFound;
      }
      if (how.how === 'signal') {
        session.end.signal(how.signal, { by: 'client', how: 'kill' });
        return { ...notFound, found: true };
      }
      if (how.how === 'signalAndWait') {
        const { signal, escalate } = how;
        const graceMs = this.#grace(how.graceMs);
        return session.end.signalAndWait(
          signal,
          { by: 'client', how: 'killAndWait' },
          { graceMs, escalate, asker: reader },
        );
      }
      return this.#release(session, how.by ?? 'operator', this.#grace(how.graceMs), reader);
    });
  }

  async #release(session: Session, by: EndAsker, graceMs: number, asker: Reader | undefined): Promise<EndResult> {
    const result = await session.end.signalAndWait('TERM', { by, how: 'release' }, { graceMs, escalate: true, asker });
    if (result.died && this.#table.isCurrent(session)) {
      session.endLeft();
      this.#table.forget(session, 'released');
    }
    this.#reaper.reap(session);
    return result;
  }

  #grace(asked: bigint | undefined): number {
    const { killGraceMs, killGraceMaxMs } = this.#options.timings;
    if (asked === undefined || asked <= 0n) {
      return killGraceMs;
    }
    return asked > BigInt(killGraceMaxMs) ? killGraceMaxMs : Number(asked);
  }

  #known(id: string): Session {
    const session = this.#table.get(id);
    if (session === undefined) {
      throw new EngineFailure('processNotFound');
    }
    return session;
  }

  sessions(): readonly SessionInfo[] {
    return [...this.#table.all].map((session) => session.info());
  }

  watch(listener: SessionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #tell(session: Session, event: SessionEvent): void {
    if (event.event === 'exited') {
      this.#table.exited(session, event.replaced);
    }
    for (const listener of this.#listeners) {
      listener(event);
    }
  }

  get runningCount(): number {
    return this.#table.running.size;
  }

  // ---- order

  /** Runs `work` at once, unless a spawn of the id is on its way: then after it (spec wire.md §9.5). */
  #inOrder<T>(id: string, work: () => MaybePromise<T>): MaybePromise<T> {
    const pending = this.#pendingSpawns.get(id);
    return pending === undefined ? work() : pending.then(work, work);
  }

  /** Makes later requests for the id wait until the spawn has registered or failed. */
  #announce<T>(id: string, spawn: Promise<T>): Promise<T> {
    this.#pendingSpawns.set(id, spawn);
    const forget = (): void => {
      if (this.#pendingSpawns.get(id) === spawn) {
        this.#pendingSpawns.delete(id);
      }
    };
    spawn.then(forget, forget);
    return spawn;
  }

  // ---- spawn

  spawn(request: SpawnRequest, reader: Reader): MaybePromise<Opened> {
    const opened = this.#inOrder(request.id, () => this.#openOrStart(request, reader));
    return opened instanceof Promise ? this.#announce(request.id, opened) : opened;
  }

  #openOrStart(request: SpawnRequest, reader: Reader): MaybePromise<Opened> {
    this.#table.check();
    const known = request.ifAbsent === undefined ? undefined : this.#table.get(request.id);
    if (request.ifAbsent !== undefined && known !== undefined) {
      return this.#attach(known, request.ifAbsent.fromSeq, reader, 'receiver', true);
    }
    this.#options.budget.ensureRoom(leastWindowBytes, 'a new process');
    this.#starter.checkLauncher(request);
    const key = this.#options.profile.process.sessionSupersede === 'no' ? undefined : sessionKey(request.args);
    this.#checkCount(request.id, key);
    if (key !== undefined) {
      return this.#agentSessions.run(key, () => this.#superseding(request, key, reader));
    }
    if (this.#starter.canStartAtOnce(request)) {
      return this.#start(request, undefined, reader, undefined);
    }
    return this.#starter.prepare(request).then((agentSocket) => this.#start(request, undefined, reader, agentSocket));
  }

  async #superseding(request: SpawnRequest, key: string, reader: Reader): Promise<Opened> {
    const agentSocket = await this.#starter.prepare(request);
    const rivals = [...this.#table.running].filter(
      (session) => session.description.key === key && session.id !== request.id && this.#table.isCurrent(session),
    );
    if (this.#options.profile.process.sessionSupersede !== 'waitForOldExit') {
      void endRivals(rivals, this.#options.timings);
    } else if (rivals.length > 0) {
      // A spawn with a bad folder or a missing command supersedes nothing.
      this.#starter.checkIsThere(request);
      await endRivals(rivals, this.#options.timings);
      return this.#start(request, key, reader, agentSocket, exitFramesTaken(rivals, reader));
    }
    return this.#start(request, key, reader, agentSocket);
  }

  #start(
    request: SpawnRequest,
    key: string | undefined,
    reader: Reader,
    agentSocket: string | undefined,
    beforeReply?: Promise<void>,
  ): MaybePromise<Opened> {
    const { id, command, args, cwd, door } = request;
    const launcher = request.launcher?.[0];
    // Once more: others may have started while this one waited for the login shell or for a process it takes over.
    this.#checkCount(id, key);
    const session: Session = new Session({ id, key, command, args, cwd, door, launcher }, this.#context, (event) =>
      this.#tell(session, event),
    );
    const child = this.#starter.start(request, session.events, agentSocket);
    if (!(child instanceof Promise)) {
      return this.#began(session, child, reader, beforeReply);
    }
    const opened = child.then((started) => this.#began(session, started, reader, beforeReply));
    this.#starting.add(opened);
    const settled = (): unknown => this.#starting.delete(opened);
    opened.then(settled, settled);
    return opened;
  }

  /**
   * Processes that this very spawn ends do not count.
   * @throws TooManySessions
   */
  #checkCount(id: string, key: string | undefined): void {
    const { maxSessions: max = 0, profile, log, counters } = this.#options;
    const running = this.#table.running.size + this.#starting.size;
    if (max === 0 || running < max) {
      return;
    }
    const { idReuseKillsOld } = profile.process;
    const ended = (session: Session): boolean =>
      (idReuseKillsOld && session.id === id) || (key !== undefined && session.description.key === key);
    const replaced = [...this.#table.running].filter((session) => this.#table.isCurrent(session) && ended(session));
    if (running - replaced.length < max) {
      return;
    }
    counters.sessionsRefused++;
    log.warn(
      'process.Manager',
      `max-sessions of ${max} reached: process ${id} is not started; end processes, or raise max-sessions`,
    );
    throw new TooManySessions(running, max);
  }

  #began(session: Session, child: Child, reader: Reader, beforeReply: Promise<void> | undefined): Opened {
    const { log, counters } = this.#options;
    const { id, command, launcher } = session.description;
    this.#table.add(session, reader);
    session.began(child);
    this.#reaper.began(session);
    if (child.warning !== undefined) {
      log.warn('process.Manager', `Process ${id}: ${child.warning}`);
    }
    counters.processSpawns++;
    const through = launcher === undefined ? '' : ` via launcher ${launcher}`;
    log.info('process.Manager', `Process ${id} started, PID=${session.pid}, command=${command}${through}`);
    return session.open(reader, beforeReply);
  }

  // ---- end (spec process.md §10)

  close(children: 'end' | 'keep'): Promise<ClosedEngine> {
    this.#closed ??= this.#close(children);
    return this.#closed;
  }

  async #close(children: 'end' | 'keep'): Promise<ClosedEngine> {
    this.#starter.close();
    this.#table.stop();
    const { shutdownWaitMs } = this.#options.timings;
    // What is being started on another thread runs, has failed, or hangs.
    await Promise.race([Promise.allSettled(this.#starting), delay(shutdownWaitMs, undefined, { ref: false })]);
    if (children === 'keep') {
      return { killed: 0, kept: this.#table.running.size };
    }
    const running = [...this.#table.running].filter((session) => this.#table.isCurrent(session));
    for (const session of running) {
      session.end.killTree({ by: 'shutdown', how: 'shutdown' });
    }
    await Promise.all(running.map((session) => session.end.waitForExit(shutdownWaitMs)));
    await Promise.race([this.#reaper.settled(), delay(shutdownWaitMs, undefined, { ref: false })]);
    return { killed: running.length, kept: 0 };
  }
}
