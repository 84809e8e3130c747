/** The engine inside this process: its own children by their ids (spec process.md). */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { SystemCallError } from '../../../platform/errors.ts';
import type { Platform } from '../../../platform/platform.ts';
import type { Child } from '../../../platform/processes.ts';
import { KeyedQueue } from '../../base/keyed-queue.ts';
import type { MemoryBudget } from '../../base/memory-budget.ts';
import { ownVariables } from '../../base/own-process.ts';
import { marked } from '../../base/session-mark.ts';
import type { Profile } from '../../wire/profile.ts';
import { EngineFailure, TooManySessions } from '../failures.ts';
import type {
  ClosedEngine,
  EndAsker,
  EndRequest,
  EndResult,
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
import { agentVariable, ChildEnvironments } from './environment.ts';
import { checkLauncherStart, launcherNotStarted, wordsThroughLauncher } from './managed-start.ts';
import { leastWindowBytes, relieve } from './relief.ts';
import { Retention } from './retention.ts';
import { Session, type SessionContext } from './session.ts';
import { sessionKey } from './session-key.ts';
import type { ShellAgent } from './shell-agent.ts';
import type { ShellPath } from './shell-path.ts';
import { endRivals, exitFramesTaken } from './supersede.ts';
import { TreeReaper } from './tree-reaper.ts';

export interface LocalEngineOptions extends SessionContext {
  readonly platform: Platform;
  readonly profile: Pick<Profile, 'process' | 'platform'>;
  readonly shellPath: ShellPath;
  /** `undefined`: the profile has no SSH agent hand-off. */
  readonly shellAgent: Pick<ShellAgent, 'socket'> | undefined;
  /** Children are to live on when the daemon ends (CT-2). */
  readonly keepChildren: boolean;
  /** The run directory children are marked for; `undefined`: they are not (profile row `platform.childMarkers`). */
  readonly markedFor: string | undefined;
  /** First part of the mark that children carry (session-mark.ts); `undefined`: they carry none. */
  readonly sessionMarks?: string | undefined;
  /** Processes that may run at once; 0 or `undefined`: any number. */
  readonly maxSessions?: number | undefined;
  /** What a session that was ended has left outside its group is ended too. */
  readonly reapTree?: boolean | undefined;
  /** An ended process is kept so long whose exit frame no receiver has; `undefined`: as long as any other. */
  readonly unseenRetentionMs?: number | undefined;
  /** What children inherit, asked at each spawn; `undefined`: the environment this process was started with. */
  readonly environments?: () => ChildEnvironments;
  /** What may be held for all clients together; this engine gives frames back when it is reached. */
  readonly budget: MemoryBudget;
}

function ownEnvironments(platform: Platform, profile: Pick<Profile, 'process'>): () => ChildEnvironments {
  const own = ownVariables(platform.startedWith);
  const environments = new ChildEnvironments(own, profile.process, platform.host);
  return () => environments;
}

/** Words and variables from which on a start is made in several turns of the event loop; the adapter does the same. */
const fewWords = 2000;

function isLong({ args, env }: SpawnRequest): boolean {
  return args.length + (env?.size ?? 0) > fewWords;
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
  readonly #byId = new Map<string, Session>();
  /** Every process that still runs, also those whose id was taken over (profile row `process.idReuseKillsOld`). */
  readonly #alive = new Set<Session>();
  /** The same, and those that can only be replayed any more; in the order of their starts. */
  readonly #all = new Set<Session>();
  /** Spawns that have neither registered nor failed, by process id. */
  readonly #pendingSpawns = new Map<string, Promise<unknown>>();
  /** Spawns whose process is being started on another thread. */
  readonly #starting = new Set<Promise<unknown>>();
  /** Spawns of one agent session run one after the other. */
  readonly #agentSessions = new KeyedQueue();
  readonly #retention: Retention;
  readonly #reaper: TreeReaper;
  readonly #listeners = new Set<SessionListener>();
  readonly #environments: () => ChildEnvironments;
  #closed: Promise<ClosedEngine> | undefined;

  constructor(options: LocalEngineOptions) {
    this.#options = options;
    const { platform, profile, timings } = options;
    this.#environments = options.environments ?? ownEnvironments(platform, profile);
    this.#retention = new Retention({
      retentionMs: timings.retentionMs,
      unseenRetentionMs: () => options.unseenRetentionMs ?? timings.retentionMs,
      checkMs: timings.retentionCheckMs,
      forget: (session) => this.#forget(session, 'forgotten'),
    });
    const { log, counters } = options;
    this.#reaper = new TreeReaper({
      ...{ platform, log, counters, timings },
      isWanted: () => options.reapTree === true,
      runDirectoryMark: () => options.sessionMarks,
      current: (id) => this.#byId.get(id),
    });
    this.#context = Object.assign(Object.create(options), {
      treeKilled: (session: Session) => this.#reaper.reap(session),
    });
    options.budget.relieveBy((wanted, why) =>
      relieve({ ended: this.#retention.ended, running: this.#alive }, wanted, why),
    );
  }

  // ---- what the others ask

  input(
    id: string,
    bytes: Buffer,
    offset: bigint | undefined,
    gone?: AbortSignal,
    place?: 'exact',
  ): MaybePromise<InputResult> {
    return this.#inOrder(id, () => this.#known(id).stdin.offer(bytes, offset, gone, place));
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
      const session = this.#byId.get(id);
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
      for (const session of this.#all) {
        if (session.id === id && session.readers.unobserve(reader)) {
          observed = true;
        }
      }
      return observed;
    });
  }

  end(id: string, how: EndRequest, reader?: Reader): MaybePromise<EndResult> {
    return this.#inOrder(id, () => {
      const session = this.#byId.get(id);
      if (session === undefined) {
        return notFound;
      }
      if (how.how === 'signal') {
        session.signal(how.signal, { by: 'client', how: 'kill' });
        return { ...notFound, found: true };
      }
      if (how.how === 'signalAndWait') {
        const { signal, escalate } = how;
        const graceMs = this.#grace(how.graceMs);
        return session.signalAndWait(
          signal,
          { by: 'client', how: 'killAndWait' },
          { graceMs, escalate, asker: reader },
        );
      }
      return this.#release(session, how.by ?? 'operator', this.#grace(how.graceMs), reader);
    });
  }

  async #release(session: Session, by: EndAsker, graceMs: number, asker: Reader | undefined): Promise<EndResult> {
    const result = await session.signalAndWait('TERM', { by, how: 'release' }, { graceMs, escalate: true, asker });
    if (result.died && this.#byId.get(session.id) === session) {
      this.#forget(session, 'released');
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
    const session = this.#byId.get(id);
    if (session === undefined) {
      throw new EngineFailure('processNotFound');
    }
    return session;
  }

  sessions(): readonly SessionInfo[] {
    return [...this.#all].map((session) => session.info());
  }

  watch(listener: SessionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #tell(session: Session, event: SessionEvent): void {
    if (event.event === 'exited') {
      this.#alive.delete(session);
      if (event.replaced) {
        this.#all.delete(session);
      } else {
        this.#retention.add(session);
      }
    }
    for (const listener of this.#listeners) {
      listener(event);
    }
  }

  get runningCount(): number {
    return this.#alive.size;
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
    this.#retention.check();
    const known = request.ifAbsent === undefined ? undefined : this.#byId.get(request.id);
    if (request.ifAbsent !== undefined && known !== undefined) {
      return this.#attach(known, request.ifAbsent.fromSeq, reader, 'receiver', true);
    }
    this.#options.budget.ensureRoom(leastWindowBytes, 'a new process');
    this.#checkLauncher(request);
    const key = this.#options.profile.process.sessionSupersede === 'no' ? undefined : sessionKey(request.args);
    this.#checkCount(request.id, key);
    if (key !== undefined) {
      return this.#agentSessions.run(key, () => this.#superseding(request, key, reader));
    }
    if (this.#options.shellPath.known && !this.#wantsShellAgent(request) && !isLong(request)) {
      return this.#start(request, undefined, reader, undefined);
    }
    return this.#lookUpAgent(request).then((agentSocket) => this.#start(request, undefined, reader, agentSocket));
  }

  /** Waits for what the login shell has to say. @returns the SSH agent's socket, if the child is to get one */
  async #lookUpAgent(request: SpawnRequest): Promise<string | undefined> {
    await this.#options.shellPath.wait();
    if (isLong(request)) {
      // Reading its words has taken long enough; others come first. The first of the two is still before anybody is read from.
      await nextTurn();
      await nextTurn();
    }
    return this.#wantsShellAgent(request) ? this.#options.shellAgent?.socket() : undefined;
  }

  /** An empty value counts as one that is there. */
  #wantsShellAgent({ env, withoutShellAgent }: SpawnRequest): boolean {
    if (this.#options.shellAgent === undefined || withoutShellAgent) {
      return false;
    }
    return process.env[agentVariable] === undefined && env?.get(agentVariable) === undefined;
  }

  async #superseding(request: SpawnRequest, key: string, reader: Reader): Promise<Opened> {
    const agentSocket = await this.#lookUpAgent(request);
    const rivals = [...this.#alive].filter(
      (session) =>
        session.description.key === key && session.id !== request.id && this.#byId.get(session.id) === session,
    );
    if (this.#options.profile.process.sessionSupersede !== 'waitForOldExit') {
      void endRivals(rivals, this.#options.timings);
    } else if (rivals.length > 0) {
      this.#checkIsThere(request);
      await endRivals(rivals, this.#options.timings);
      return this.#start(request, key, reader, agentSocket, exitFramesTaken(rivals, reader));
    }
    return this.#start(request, key, reader, agentSocket);
  }

  /** A spawn with a bad folder or a missing command supersedes nothing. */
  #checkIsThere(request: SpawnRequest): void {
    const { command } = request;
    this.#check(request, (platform) =>
      platform.processes.check({ command, cwd: this.#workingDirectory(request) }, 'isThere'),
    );
  }

  #checkLauncher(request: SpawnRequest): void {
    const { command, launcher } = request;
    if (launcher !== undefined) {
      this.#check(request, (platform) =>
        checkLauncherStart({ launcher, command, cwd: this.#workingDirectory(request) }, platform),
      );
    }
  }

  #check(request: SpawnRequest, test: (platform: Platform) => void): void {
    try {
      test(this.#options.platform);
    } catch (error) {
      this.#tellNotStarted(request, error);
      throw error;
    }
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
    const failed = (error: unknown): never => {
      const failure = launcher === undefined ? error : launcherNotStarted(launcher, error);
      this.#tellNotStarted(request, failure);
      throw failure;
    };
    let child: MaybePromise<Child>;
    try {
      child = this.#startChild(request, session, agentSocket);
    } catch (error) {
      return failed(error);
    }
    if (!(child instanceof Promise)) {
      return this.#began(session, child, reader, beforeReply);
    }
    const opened = child.then((started) => this.#began(session, started, reader, beforeReply), failed);
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
    const running = this.#alive.size + this.#starting.size;
    if (max === 0 || running < max) {
      return;
    }
    const { idReuseKillsOld } = profile.process;
    const ended = (session: Session): boolean =>
      (idReuseKillsOld && session.id === id) || (key !== undefined && session.description.key === key);
    const replaced = [...this.#alive].filter((session) => this.#byId.get(session.id) === session && ended(session));
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

  #startChild(request: SpawnRequest, session: Session, agentSocket: string | undefined): MaybePromise<Child> {
    const { platform, profile, markedFor, keepChildren, shellPath } = this.#options;
    if (this.#closed !== undefined) {
      throw new SystemCallError('the daemon is shutting down', 'ESHUTDOWN');
    }
    const { command, args, launcher, env: wanted } = request;
    return platform.processes.spawnAmongMany({
      ...session.events,
      ...(launcher === undefined
        ? { command, args }
        : { ...wordsThroughLauncher(launcher, command, args), handedProgram: command }),
      cwd: this.#workingDirectory(request),
      env: marked(
        this.#environments().of({
          loginShellPath: shellPath.value,
          agentSocket,
          wanted,
          throughLauncher: launcher !== undefined,
        }),
        this.#options.sessionMarks,
        request.id,
      ),
      gentleScope: profile.platform.windowsSignalScope,
      outlivesUs: keepChildren,
      ...(markedFor === undefined ? {} : { markedFor }),
    });
  }

  #began(session: Session, child: Child, reader: Reader, beforeReply: Promise<void> | undefined): Opened {
    const { log, counters } = this.#options;
    const { id, command, launcher } = session.description;
    const replaced = this.#byId.get(id);
    if (replaced !== undefined) {
      this.#retire(replaced, reader);
    }
    this.#byId.set(id, session);
    this.#alive.add(session);
    this.#all.add(session);
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

  #workingDirectory({ cwd }: SpawnRequest): string | undefined {
    return cwd === undefined || cwd === '' ? undefined : this.#options.platform.paths.expandTilde(cwd);
  }

  /** An id is used again (spec process.md §3.5). The new process runs already. */
  #retire(old: Session, reader: Reader): void {
    this.#retention.remove(old);
    if (old.state === 'exited') {
      // After the reply of the new process no frame of the old one could be told from one of the new.
      if (old.readers.isReceivedBy(reader)) {
        old.readers.drop();
      } else {
        old.readers.finish();
      }
      this.#all.delete(old);
      old.forgotten('forgotten');
      old.letGo();
    } else if (this.#options.profile.process.idReuseKillsOld) {
      old.readers.drop();
      old.forgotten('forgotten');
      old.killTree({ by: 'supersede', how: 'spawn' });
      old.exited.then(() => old.letGo());
    } else {
      old.forgotten('forgotten');
      old.exited.then(() => {
        old.readers.finish();
        old.letGo();
      });
    }
  }

  #forget(session: Session, why: 'forgotten' | 'released'): void {
    this.#retention.remove(session);
    this.#byId.delete(session.id);
    this.#all.delete(session);
    session.readers.finish();
    session.forgotten(why);
    session.letGo();
  }

  #tellNotStarted({ id }: SpawnRequest, error: unknown): void {
    this.#options.log.warn('process.Manager', `Failed to start process ${id}: ${(error as Error).message}`);
  }

  // ---- end (spec process.md §10)

  close(children: 'end' | 'keep'): Promise<ClosedEngine> {
    this.#closed ??= this.#close(children);
    return this.#closed;
  }

  async #close(children: 'end' | 'keep'): Promise<ClosedEngine> {
    this.#retention.stop();
    const { shutdownWaitMs } = this.#options.timings;
    // What is being started on another thread runs, has failed, or hangs.
    await Promise.race([Promise.allSettled(this.#starting), delay(shutdownWaitMs, undefined, { ref: false })]);
    if (children === 'keep') {
      return { killed: 0, kept: this.#alive.size };
    }
    const running = [...this.#alive].filter((session) => this.#byId.get(session.id) === session);
    for (const session of running) {
      session.killTree({ by: 'shutdown', how: 'shutdown' });
    }
    await Promise.all(running.map((session) => session.waitForExit(shutdownWaitMs)));
    await Promise.race([this.#reaper.settled(), delay(shutdownWaitMs, undefined, { ref: false })]);
    return { killed: running.length, kept: 0 };
  }
}
