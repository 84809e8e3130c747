/** The engine: every process of this daemon by its id (spec process.md). Doors call it; it knows none of them. */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { SystemCallError } from '../../../platform/errors.ts';
import type { Platform } from '../../../platform/platform.ts';
import type { Child, SignalName } from '../../../platform/processes.ts';
import type { Variable } from '../../../platform/started-with.ts';
import { ownVariables } from '../../base/own-process.ts';
import type { ChildRecords } from '../../run-directory/records/child-records.ts';
import { agentVariable, childEnvironment, inheritedVariables } from './environment.ts';
import type { Feed, FeedOwner } from './feed.ts';
import { Session, type SessionContext } from './session.ts';
import { sessionKey } from './session-key.ts';
import type { ShellAgent } from './shell-agent.ts';
import type { ShellPath } from './shell-path.ts';

export interface SpawnOptions {
  readonly id: string;
  readonly command: string;
  readonly args: readonly string[];
  /** As sent; `undefined` or empty: the daemon's own working directory. */
  readonly cwd: string | undefined;
  readonly env: ReadonlyMap<string, string> | undefined;
  /** The child is not to get the login shell's SSH agent. */
  readonly withoutShellAgent: boolean;
}

export interface SessionsOptions extends SessionContext {
  readonly platform: Platform;
  readonly shellPath: ShellPath;
  /** `undefined`: the profile has no SSH agent hand-off. */
  readonly shellAgent: ShellAgent | undefined;
  /** Children are to live on when the daemon ends (CT-2). */
  readonly keepChildren: boolean;
  /** The run directory children are marked for; `undefined`: they are not (profile row `platform.childMarkers`). */
  readonly markedFor: string | undefined;
  /** `undefined`: no records are written. */
  readonly records: ChildRecords | undefined;
  /** A process has shown its exit frame. */
  onSessionEnd(): void;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #byId = new Map<string, Session>();
  /** Requests for a spawn that has neither registered nor failed, by process id (src/doors/rpc/methods/process.ts). */
  readonly pendingSpawns = new Map<string, Promise<unknown>>();
  /** Spawns whose process is being started on another thread. */
  readonly #starting = new Set<Promise<Spawned>>();
  #closed = false;
  /** Every process that still runs, also those whose id was taken over (profile row `process.idReuseKillsOld`). */
  readonly #alive = new Set<Session>();
  /** Spawns of one agent session run one after the other. */
  readonly #supersedes = new Map<string, Promise<void>>();
  readonly #inherited: readonly Variable[];
  #retention: NodeJS.Timeout | undefined;
  /** No ended process is to be forgotten before this time of `performance.now()`: a spawn need not look at them all. */
  #nothingOldBefore = 0;

  constructor(options: SessionsOptions) {
    this.#options = options;
    const { platform, profile } = options;
    this.#inherited = inheritedVariables(
      ownVariables(platform.startedWith),
      profile.process.strippedVariables,
      platform.host,
    );
  }

  find(id: string): Session | undefined {
    return this.#byId.get(id);
  }

  /** Processes that have not shown their exit frame. */
  get runningCount(): number {
    return this.#alive.size;
  }

  /** argv from 1 on of every process that still runs. */
  *runningArguments(): Iterable<readonly string[]> {
    for (const session of this.#alive) {
      yield session.args;
    }
  }

  /** Every process there is, also those whose id was taken over and those that can only be replayed any more. */
  all(): Iterable<Session> {
    return new Set([...this.#byId.values(), ...this.#alive]);
  }

  // ---- spawn

  /**
   * Starts a process, with the client's connection as its receiver. Synchronous unless something must be waited for, so
   * that a burst of requests keeps its order.
   * @returns the session and its feed, which holds still until `Feed.release`
   * @throws SystemCallError with the contract's text, also through the promise; nothing is registered then
   */
  spawn(options: SpawnOptions, owner: FeedOwner): Spawned | Promise<Spawned> {
    this.#forgetOld();
    const key = this.#options.profile.process.sessionSupersede === 'no' ? undefined : sessionKey(options.args);
    if (key !== undefined) {
      return this.#inTurn(key, () => this.#superseding(options, key, owner));
    }
    if (this.#options.shellPath.known && !this.#wantsShellAgent(options)) {
      return this.#start(options, undefined, owner, undefined);
    }
    return this.#prepare(options).then((agentSocket) => this.#start(options, undefined, owner, agentSocket));
  }

  /** Waits for what the login shell has to say. @returns the SSH agent's socket, if the child is to get one */
  async #prepare(options: SpawnOptions): Promise<string | undefined> {
    await this.#options.shellPath.wait();
    return this.#wantsShellAgent(options) ? this.#options.shellAgent?.socket() : undefined;
  }

  /** An empty value counts as one that is there. */
  #wantsShellAgent({ env, withoutShellAgent }: SpawnOptions): boolean {
    if (this.#options.shellAgent === undefined || withoutShellAgent) {
      return false;
    }
    return process.env[agentVariable] === undefined && env?.get(agentVariable) === undefined;
  }

  #start(
    options: SpawnOptions,
    key: string | undefined,
    owner: FeedOwner,
    agentSocket: string | undefined,
  ): Spawned | Promise<Spawned> {
    const { platform, profile, markedFor, records } = this.#options;
    const session = new Session({ id: options.id, key, args: options.args }, this.#options);
    const { events } = session;
    let child: Child | Promise<Child>;
    try {
      if (this.#closed) {
        throw new SystemCallError('the daemon is shutting down', 'ESHUTDOWN');
      }
      child = platform.processes.spawnAmongMany({
        ...events,
        onEnd: () => {
          records?.remove(session.pid);
          events.onEnd();
        },
        command: options.command,
        args: options.args,
        cwd: this.#workingDirectory(options),
        env: childEnvironment(
          {
            inherited: this.#inherited,
            loginShellPath: this.#options.shellPath.value,
            agentSocket,
            wanted: options.env,
          },
          platform.host,
        ),
        gentleScope: profile.platform.windowsSignalScope,
        outlivesUs: this.#options.keepChildren,
        ...(markedFor === undefined ? {} : { markedFor }),
      });
    } catch (error) {
      this.#tellNotStarted(options, error);
      throw error;
    }
    if (!(child instanceof Promise)) {
      return this.#began(session, child, options, owner);
    }
    const spawned = child.then(
      (started) => this.#began(session, started, options, owner),
      (error) => {
        this.#tellNotStarted(options, error);
        throw error;
      },
    );
    this.#starting.add(spawned);
    const settled = (): unknown => this.#starting.delete(spawned);
    spawned.then(settled, settled);
    return spawned;
  }

  #began(session: Session, child: Child, options: SpawnOptions, owner: FeedOwner): Spawned {
    const { log, counters, records } = this.#options;
    session.began(child);
    records?.add(child);
    if (child.warning !== undefined) {
      log.warn('process.Manager', `Process ${options.id}: ${child.warning}`);
    }
    counters.processSpawns++;
    log.info('process.Manager', `Process ${options.id} started, PID=${session.pid}, command=${options.command}`);
    const replaced = this.#byId.get(options.id);
    this.#register(session);
    if (replaced !== undefined) {
      this.#retire(replaced, owner);
    }
    const feed = session.attach(owner);
    feed.hold();
    return { session, feed };
  }

  #workingDirectory({ cwd }: SpawnOptions): string | undefined {
    return cwd === undefined || cwd === '' ? undefined : this.#options.platform.paths.expandTilde(cwd);
  }

  #register(session: Session): void {
    this.#byId.set(session.id, session);
    this.#alive.add(session);
    session.exited.then(() => {
      this.#alive.delete(session);
      this.#options.onSessionEnd();
      this.#retention ??= setInterval(() => this.#forgetOld(), this.#options.timings.retentionCheckMs).unref();
    });
  }

  /** An id is used again (spec process.md §3.5). The new process runs already. */
  #retire(old: Session, owner: FeedOwner): void {
    if (old.state === 'exited') {
      // After the reply of the new process no frame of the old one could be told from one of the new.
      if (old.isReceivedBy(owner)) {
        old.dropReceiver();
      } else {
        old.finishReceiver();
      }
    } else if (this.#options.profile.process.idReuseKillsOld) {
      old.dropReceiver();
      old.killTree('client');
    } else {
      old.exited.then(() => old.finishReceiver());
    }
  }

  // ---- supersede (spec process.md §3.6)

  async #superseding(options: SpawnOptions, key: string, owner: FeedOwner): Promise<Spawned> {
    const agentSocket = await this.#prepare(options);
    const rivals = [...this.#alive].filter(
      (session) => session.key === key && session.id !== options.id && this.#byId.get(session.id) === session,
    );
    if (this.#options.profile.process.sessionSupersede === 'waitForOldExit') {
      if (rivals.length > 0) {
        this.#checkStartable(options);
      }
      await Promise.all(rivals.map((rival) => this.#endRival(rival)));
      // The exit frames leave at the end of the turn that made them; the reply comes after them.
      await nextTurn();
    } else {
      for (const rival of rivals) {
        void this.#endRival(rival);
      }
    }
    return this.#start(options, key, owner, agentSocket);
  }

  /** A spawn that cannot work supersedes nothing. */
  #checkStartable(options: SpawnOptions): void {
    try {
      this.#options.platform.processes.check({
        command: options.command,
        args: options.args,
        cwd: this.#workingDirectory(options),
        env: [...(options.env ?? [])],
      });
    } catch (error) {
      this.#tellNotStarted(options, error);
      throw error;
    }
  }

  #tellNotStarted({ id }: SpawnOptions, error: unknown): void {
    this.#options.log.warn('process.Manager', `Failed to start process ${id}: ${(error as Error).message}`);
  }

  async #endRival(rival: Session): Promise<void> {
    rival.signal('TERM', 'client');
    if (await rival.waitForExit(this.#options.timings.supersedeGraceMs)) {
      return;
    }
    rival.killTree('client');
    await rival.exited;
  }

  /** Runs `work` after everything that was given for the same key before. */
  #inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#supersedes.get(key) ?? Promise.resolve();
    const result = before.then(work);
    const settled = result.then(
      () => {},
      () => {},
    );
    this.#supersedes.set(key, settled);
    settled.then(() => {
      if (this.#supersedes.get(key) === settled) {
        this.#supersedes.delete(key);
      }
    });
    return result;
  }

  // ---- kill

  kill(id: string, signal: SignalName): void {
    this.#byId.get(id)?.signal(signal, 'client');
  }

  // ---- retention

  #forgetOld(): void {
    const now = performance.now();
    if (now < this.#nothingOldBefore) {
      return;
    }
    const { retentionMs } = this.#options.timings;
    // What ends from now on is kept for as long at least.
    this.#nothingOldBefore = now + retentionMs;
    let kept = 0;
    for (const [id, session] of this.#byId) {
      if (session.exitedAt === undefined) {
        continue;
      }
      const oldAt = session.exitedAt + retentionMs;
      this.#nothingOldBefore = Math.min(this.#nothingOldBefore, Math.max(oldAt, now));
      if (oldAt > now) {
        kept++;
      } else {
        this.#byId.delete(id);
        session.finishReceiver();
      }
    }
    if (kept > 0) {
      return;
    }
    clearInterval(this.#retention);
    this.#retention = undefined;
  }

  // ---- shutdown (spec process.md §10)

  /** Nothing is started from now on. Resolves when what is being started runs, or has failed, or hangs. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#retention);
    const { shutdownWaitMs } = this.#options.timings;
    await Promise.race([Promise.allSettled(this.#starting), delay(shutdownWaitMs, undefined, { ref: false })]);
  }

  /** Ends every running process of the table. @returns how many groups were killed */
  async killAll(): Promise<number> {
    const running = [...this.#alive].filter((session) => this.#byId.get(session.id) === session);
    for (const session of running) {
      session.killTree('shutdown');
    }
    const { shutdownWaitMs } = this.#options.timings;
    await Promise.all(running.map((session) => session.waitForExit(shutdownWaitMs)));
    return running.length;
  }

  /**
   * The next daemon is to leave the processes of the table alone: they are killed, or kept on purpose. One whose id was
   * taken over keeps its record and is ended by the next start (spec platform.md §2 "Keeping children").
   */
  removeRecords(): void {
    for (const session of this.#byId.values()) {
      if (session.state === 'running') {
        this.#options.records?.remove(session.pid);
      }
    }
  }
}

export interface Spawned {
  readonly session: Session;
  readonly feed: Feed;
}
