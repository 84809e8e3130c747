/** The detached daemon: its start in order, and its end (spec modes.md §7–8). */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { SystemCallError } from '../../platform/errors.ts';
import type {
  Listener,
  LockRecord,
  OwnedFile,
  Platform,
  RunDirectory,
  RunDirectoryLock,
} from '../../platform/platform.ts';
import { armFailpoints, failpoint, setFailpointDeath } from '../failpoints.ts';
import { type AllServices, allMethods } from '../methods/all.ts';
import { logName } from '../modes/launch.ts';
import type { ModeContext } from '../modes/mode.ts';
import { ChildRecords } from '../records/child-records.ts';
import { reapChildren } from '../records/reap.ts';
import { createDispatcher } from '../rpc/dispatcher.ts';
import { Pace } from '../sessions/pace.ts';
import { Sessions, type SessionsOptions } from '../sessions/sessions.ts';
import { ShellAgent } from '../sessions/shell-agent.ts';
import { lookUpShellPath } from '../sessions/shell-path.ts';
import { version } from '../version.ts';
import { capLog } from './capped-log.ts';
import { Clients } from './clients.ts';
import { createCounters } from './counters.ts';
import type { Log } from './log.ts';
import { failedReport, readyReport, takeMarkers } from './markers.ts';
import type { MetricsServer } from './metrics-server.ts';
import { type Reachability, watchReachability } from './reachability.ts';
import { RpcLatency } from './rpc-latency.ts';
import { lockName, serveRole, takeLock } from './run-lock.ts';
import { failureLines } from './start-failure.ts';
import { timings } from './timings.ts';
import { takeToken } from './token.ts';
import type { WireLog } from './wire-log.ts';

const tokenFileName = 'daemon.token';
const pipeFileName = 'rpc.pipe';

/** Serves until something ends it. @returns the exit code */
export async function runDaemon(context: ModeContext): Promise<number> {
  const platform = await context.platform();
  const inherited = takeMarkers(context.environment);
  const daemon = new Daemon(context, platform);
  try {
    await daemon.start(inherited.tokenDescriptor);
  } catch (error) {
    const reasons = failureLines(error);
    for (const line of reasons) context.log.raw(line);
    await daemon.abandon();
    if (inherited.statusDescriptor !== undefined) {
      platform.host.reportStatus(inherited.statusDescriptor, [failedReport, ...reasons].join('\n'));
    }
    return 1;
  }
  if (inherited.statusDescriptor !== undefined) platform.host.reportStatus(inherited.statusDescriptor, readyReport);
  return daemon.ended;
}

class Daemon {
  readonly #context: ModeContext;
  readonly #platform: Platform;
  readonly #log: Log;
  readonly #counters = createCounters();
  readonly #instanceId = randomBytes(16).toString('hex');
  /** Ends look-ups that still run when the daemon ends. */
  readonly #lifetime = new AbortController();
  readonly #ended = Promise.withResolvers<number>();
  #ending = false;
  /** A signal that came during the start; the start completes first. */
  #endRequested: (() => void) | undefined;
  #started = false;
  #directory: RunDirectory | undefined;
  #lock: RunDirectoryLock | undefined;
  #listener: Listener | undefined;
  #tokenFile: OwnedFile | undefined;
  #metrics: MetricsServer | undefined;
  /** Only where somebody can ask for it. */
  readonly #latency: RpcLatency | undefined;
  #wireLog: WireLog | undefined;
  #reachability: Reachability | undefined;
  #sessions: Sessions | undefined;
  #clients: Clients | undefined;

  constructor(context: ModeContext, platform: Platform) {
    this.#context = context;
    this.#platform = platform;
    this.#log = context.log;
    this.#latency = context.settings.metricsAddress === undefined ? undefined : new RpcLatency();
  }

  /** Resolves with the exit code once everything is torn down. */
  get ended(): Promise<number> {
    return this.#ended.promise;
  }

  // ---- start, in the order of spec modes.md §7

  async start(tokenDescriptor: string | undefined): Promise<void> {
    const { settings } = this.#context;
    const { profile, socketPath } = settings;
    this.#takeSignals();
    this.#takeFailures();
    setFailpointDeath(() => this.#platform.host.die());
    armFailpoints(this.#context.environment);
    this.#capLog();
    const limit = this.#platform.host.limitOpenFiles();
    if (limit !== undefined) {
      this.#log.info('daemon', `child processes will start with an open-files limit of ${limit}`);
    }
    this.#warnAboutSettings();

    const token = takeToken(settings, tokenDescriptor, this.#platform, this.#log);
    this.#log.redact(token.toString('utf8'));
    const shellPath = lookUpShellPath(this.#platform.host, this.#log, timings.shellPathMs, this.#lifetime.signal);
    await this.#openWireLog();

    const directory = this.#platform.runDirectories.open(this.#platform.paths.directoryOf(socketPath));
    this.#directory = directory;
    if (profile.modes.runDirLock) await this.#claim(directory);
    const marking = await this.#takeOverChildren();

    const startedAt = Date.now();
    const pace = new Pace();
    const sessions = new Sessions({
      platform: this.#platform,
      profile,
      log: this.#log,
      counters: this.#counters,
      timings,
      pace,
      shellPath,
      shellAgent: profile.platform.sshAgentHandOff
        ? new ShellAgent({ platform: this.#platform, log: this.#log, timings, signal: this.#lifetime.signal })
        : undefined,
      keepChildren: this.#keepsChildren(),
      ...marking,
      onSessionEnd: () => this.#reachability?.check(),
    });
    this.#sessions = sessions;
    const services: AllServices = {
      platform: this.#platform,
      profile,
      settings,
      log: this.#log,
      counters: this.#counters,
      timings,
      sessions,
      daemon: { version, instanceId: this.#instanceId, startedAt },
      requestShutdown: () => {
        if (!this.#willEnd) this.#log.info('ServerHandler', 'server.shutdown received over RPC');
        this.end();
      },
    };
    const clients = new Clients({
      dispatcher: createDispatcher({
        services,
        profile,
        token,
        methods: allMethods,
        log: this.#log,
        observer: this.#latency,
        errorText: (error) => (error instanceof SystemCallError ? error.message : undefined),
      }),
      log: this.#log,
      counters: this.#counters,
      timings,
      pace,
      sendNow: this.#platform.transport.sendNow,
      wireLog: this.#wireLog,
      reattachClosesOld: profile.process.reattachClosesOld,
      idleCloseMs: profile.wire.idleCloseMs,
      onClose: () => this.#reachability?.check(),
    });
    this.#clients = clients;

    // Bind and token belong together: of many starts at once, the one that is left must find its own token.
    await directory.exclusively(async () => {
      this.#listener = await this.#platform.transport.listen(socketPath, {
        onConnection: (socket) => clients.accept(socket),
        onRefused: (reason) => {
          this.#counters.peersRefused++;
          this.#log.warn('Server', `connection refused: ${reason}`);
        },
        onError: (error) => this.#log.error('Server', `accept: ${error.message}`),
      });
      failpoint('daemon.listen.after');
      this.#recordLock({
        ...this.#lockRecord(),
        instanceId: this.#instanceId,
        startedAt,
      });
      if (this.#platform.os !== 'windows') directory.removeLeftover(pipeFileName);
      this.#publishToken(directory, token);
    });
    await this.#startMetrics(sessions, clients, startedAt);
    this.#log.raw(this.#banner());
    if (profile.platform.hostCleaner) await this.#cleanHost();
    this.#watch(token, directory, sessions, clients);
    this.#started = true;
    this.#endRequested?.();
  }

  #takeSignals(): void {
    this.#platform.host.onEndRequest((reason) => {
      if (this.#willEnd) return;
      const children = this.#keepsChildren() ? 'kept' : 'killed';
      this.#log.info('daemon', `received ${reason}; shutting down (children will be ${children})`);
      this.end();
    });
  }

  #capLog(): void {
    const { settings } = this.#context;
    if (settings.logMaxBytes === 0) return;
    const { paths, runDirectories, host } = this.#platform;
    const write = capLog({
      path: join(paths.directoryOf(settings.socketPath), logName),
      maxBytes: settings.logMaxBytes,
      runDirectories,
      host,
      counters: this.#counters,
      tell: (text) => this.#log.info('daemon', text),
    });
    this.#log.writeThrough(write);
  }

  /** A fault in one callback must not take the sessions of everybody else with it. */
  #takeFailures(): void {
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
      process.removeAllListeners(event);
      process.on(event, (error: unknown) => {
        this.#log.error('Server', `recovered panic: ${error instanceof Error ? error.stack : String(error)}`);
      });
    }
  }

  #warnAboutSettings(): void {
    const { settings } = this.#context;
    for (const { mode, text } of settings.warnings) {
      if (mode === 'all' || mode === 'serve') this.#log.warn('Server', text);
    }
    const { listenPipe, keepChildren, profile, filesReadRegularOnly } = settings;
    if (filesReadRegularOnly && profile.files.readNonRegular === 'refuse' && !profile.files.readRegularOnlyFlag) {
      this.#log.warn('Server', '-files-read-regular-only is deprecated and has no effect: only regular files are read');
    }
    const keepChildrenAllowed = profile.platform.windowsKeepChildren;
    for (const text of this.#platform.host.serveWarnings({ listenPipe, keepChildren, keepChildrenAllowed })) {
      this.#log.warn('Server', text);
    }
  }

  #keepsChildren(): boolean {
    const { keepChildren, profile } = this.#context.settings;
    return keepChildren && this.#platform.host.keepsChildren(profile.platform.windowsKeepChildren);
  }

  async #openWireLog(): Promise<void> {
    const { wireLogPath, wireLogMaxString, wireLogMaxBytes } = this.#context.settings;
    if (wireLogPath === undefined) return;
    const [{ WireLog }, { WireLogFile }] = await Promise.all([import('./wire-log.ts'), import('./wire-log-file.ts')]);
    this.#wireLog = new WireLog({
      file: new WireLogFile(wireLogPath, wireLogMaxBytes, this.#platform.paths),
      maxString: wireLogMaxString,
      log: this.#log,
      counters: this.#counters,
    });
  }

  async #claim(directory: RunDirectory): Promise<void> {
    const { settings } = this.#context;
    // On Windows a second daemon takes over the published name and nobody is evicted (spec platform.md §3).
    const claimed =
      this.#platform.os !== 'windows' &&
      (await takeLock({
        platform: this.#platform,
        directory,
        socketPath: settings.socketPath,
        socketIsDefault: settings.effective.socket.source === 'default',
        log: this.#log,
        asker: 'serve',
        termMs: timings.evictTermMs,
        killMs: timings.evictKillMs,
        create: true,
      }));
    if (claimed !== false && 'lock' in claimed) {
      this.#lock = claimed.lock;
      this.#recordLock(this.#lockRecord());
      if (this.#lock !== undefined) return;
    }
    this.#log.warn(
      'daemon',
      "serve: not the run dir's lock holder; leaving any predecessor's children alone and recording none",
    );
  }

  /** Ends what a dead daemon has left, and tells how children of this one are to be found by the next. */
  async #takeOverChildren(): Promise<Pick<SessionsOptions, 'markedFor' | 'records'>> {
    const { settings } = this.#context;
    const { childMarkers: markers, processes, paths } = this.#platform;
    if (!settings.profile.platform.childMarkers || markers === undefined) {
      return { markedFor: undefined, records: undefined };
    }
    const runDirectory = paths.directoryOf(settings.socketPath);
    const common = { markers, processes, paths, runDirectory, log: this.#log };
    if (this.#lock === undefined) return { markedFor: runDirectory, records: undefined };
    await reapChildren({ ...common, timings });
    return { markedFor: runDirectory, records: new ChildRecords({ ...common, instanceId: this.#instanceId }) };
  }

  /** A record that cannot be written (full disk) costs us the lock, not the start (spec modes.md §7 "Any failure"). */
  #recordLock(record: LockRecord): void {
    try {
      this.#lock?.write(record);
    } catch (error) {
      const reason = this.#platform.paths.reason(error);
      this.#log.warn('daemon', `serve: WARNING write ${this.#directory?.path}/${lockName}: ${reason}`);
      // Held without a record it would keep the next start from ending us.
      this.#lock?.letGo();
      this.#lock = undefined;
    }
  }

  #lockRecord(): { pid: number; role: string; node?: string } {
    const { pid, node } = this.#platform.processes.self();
    return { pid, role: serveRole, ...(node === undefined ? {} : { node }) };
  }

  #publishToken(directory: RunDirectory, token: Buffer): void {
    if (this.#context.settings.tokenFd !== undefined) {
      directory.removeLeftover(tokenFileName);
      return;
    }
    try {
      failpoint('daemon.token.write');
      this.#tokenFile = directory.publish(tokenFileName, token);
    } catch (error) {
      this.#log.warn('daemon', `failed to persist token: ${this.#platform.paths.reason(error)}`);
    }
  }

  async #startMetrics(sessions: Sessions, clients: Clients, startedAt: number): Promise<void> {
    const { metricsAddress: address, profile } = this.#context.settings;
    if (address === undefined || this.#latency === undefined) return;
    try {
      const { serveMetrics } = await import('./metrics-server.ts');
      this.#metrics = await serveMetrics({
        address,
        platform: this.#platform,
        log: this.#log,
        counters: this.#counters,
        sources: {
          counters: this.#counters,
          latency: this.#latency,
          version,
          profile: profile.name,
          startedAt,
          showsUsage: this.#platform.os === 'linux',
          connections: () => clients.count,
          sessions: () => sessions.all(),
          logLinesLost: () => this.#log.droppedLines,
        },
      });
    } catch (error) {
      this.#log.error('Server', `metrics: ${(error as Error).message}`);
    }
  }

  async #cleanHost(): Promise<void> {
    const { startHostCleaner } = await import('../host-cleaner/schedule.ts');
    const { executableDirectory, settings } = this.#context;
    startHostCleaner({
      platform: this.#platform,
      socketPath: settings.socketPath,
      executableDirectory,
      log: this.#log,
      counters: this.#counters,
      timings,
      signal: this.#lifetime.signal,
    });
  }

  #banner(): string {
    const { settings } = this.#context;
    const suffix = settings.profile.modes.bannerSuffix ? ` (pid ${process.pid}, instance ${this.#instanceId})` : '';
    return `Claustrum remote server listening on ${settings.socketPath}${suffix}`;
  }

  #watch(token: Buffer, directory: RunDirectory, sessions: Sessions, clients: Clients): void {
    const { settings } = this.#context;
    if (this.#listener === undefined) return;
    this.#reachability = watchReachability({
      platform: this.#platform,
      directory,
      listener: this.#listener,
      socketPath: settings.socketPath,
      token,
      instanceId: this.#instanceId,
      log: this.#log,
      timings,
      connectionCount: () => clients.count,
      sessionCount: () => sessions.runningCount,
      selfProbe: settings.profile.modes.selfProbe,
      end: () => this.end(),
    });
    this.#reachability.check();
  }

  // ---- end, in the order of spec modes.md §8

  /** Asked to end already, perhaps during the start. */
  get #willEnd(): boolean {
    return this.#ending || this.#endRequested !== undefined;
  }

  /** Begins the end; more calls change nothing. */
  end(): void {
    if (!this.#started) {
      this.#endRequested = () => this.end();
      return;
    }
    if (this.#ending) return;
    this.#ending = true;
    this.#log.info('Server', 'shutdown requested');
    void this.#tearDown().then(
      () => this.#ended.resolve(0),
      (error: unknown) => {
        this.#log.error('Server', `shutdown: ${String(error)}`);
        this.#ended.resolve(0);
      },
    );
  }

  async #tearDown(): Promise<void> {
    this.#reachability?.stop();
    this.#listener?.close();
    this.#metrics?.close();
    const closed = this.#clients?.closeAll() ?? 0;
    this.#lifetime.abort();
    const killed = await this.#leaveChildren();
    this.#sessions?.removeRecords();
    await this.abandon();
    this.#log.info('Server', `cleanup: closed ${closed} connection(s), killed ${killed} child process group(s)`);
  }

  /** @returns how many groups were killed */
  async #leaveChildren(): Promise<number> {
    const sessions = this.#sessions;
    if (sessions === undefined) return 0;
    await sessions.close();
    if (!this.#keepsChildren()) return sessions.killAll();
    this.#log.info(
      'Server',
      `-keep-children: leaving ${sessions.runningCount} running child process(es) alive across shutdown`,
    );
    return 0;
  }

  /** Removes what is published and still ours, and lets go of the run directory. */
  async abandon(): Promise<void> {
    this.#lifetime.abort();
    const directory = this.#directory;
    await directory?.exclusively(() => {
      this.#listener?.close();
      this.#listener?.unpublish();
      this.#tokenFile?.remove();
    });
    this.#wireLog?.close();
    this.#wireLog = undefined;
    this.#lock?.release();
    directory?.close();
    this.#directory = undefined;
  }
}
