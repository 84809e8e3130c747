/** The detached daemon: its start in order, and its end (spec modes.md §7–8). */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Platform } from '../../platform/platform.ts';
import type { OwnedFile, RunDirectory } from '../../platform/run-directories.ts';
import type { Listener } from '../../platform/transport.ts';
import { createCounters } from '../base/counters.ts';
import { failpoint } from '../base/failpoints.ts';
import type { Log } from '../base/log.ts';
import { failedReport, readyReport, takeMarkers } from '../base/start-markers.ts';
import { timings } from '../base/timings.ts';
import { version } from '../base/version.ts';
import type { MetricsServer } from '../doors/metrics/metrics-server.ts';
import { RpcLatency } from '../doors/metrics/rpc-latency.ts';
import type { DaemonIdentity } from '../doors/rpc/methods/server.ts';
import type { WireLog } from '../doors/rpc/wire-log/wire-log.ts';
import { lookUpShellPath } from '../engine/local/shell-path.ts';
import type { ModeContext } from '../modes/mode.ts';
import { capLog } from '../run-directory/capped-log.ts';
import { logFileName, tokenFileName } from '../run-directory/names.ts';
import { Ownership } from '../run-directory/ownership.ts';
import { type Reachability, watchReachability } from '../run-directory/reachability.ts';
import { failureLines } from '../run-directory/start-failure.ts';
import { takeToken } from '../run-directory/token.ts';
import { createEngine, type Engine } from './engine.ts';

/** Serves until something ends it. @returns the exit code */
export async function runDaemon(context: ModeContext): Promise<number> {
  const platform = await context.platform();
  const inherited = takeMarkers(context.environment);
  const daemon = new Daemon(context, platform);
  try {
    await daemon.start(inherited.tokenDescriptor);
  } catch (error) {
    const reasons = failureLines(error);
    for (const line of reasons) {
      context.log.raw(line);
    }
    await daemon.abandon();
    if (inherited.statusDescriptor !== undefined) {
      platform.host.reportStatus(inherited.statusDescriptor, [failedReport, ...reasons].join('\n'));
    }
    await platform.host.loginShellsEnded();
    return 1;
  }
  if (inherited.statusDescriptor !== undefined) {
    platform.host.reportStatus(inherited.statusDescriptor, readyReport);
  }
  const code = await daemon.ended;
  await platform.host.loginShellsEnded();
  return code;
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
  #ownership: Ownership | undefined;
  #listener: Listener | undefined;
  #tokenFile: OwnedFile | undefined;
  #metrics: MetricsServer | undefined;
  /** Only where somebody can ask for it. */
  readonly #latency: RpcLatency | undefined;
  #wireLog: WireLog | undefined;
  #reachability: Reachability | undefined;
  #engine: Engine | undefined;

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
    const ownership = new Ownership({
      platform: this.#platform,
      settings,
      directory,
      instanceId: this.#instanceId,
      log: this.#log,
      timings,
    });
    this.#ownership = ownership;
    await ownership.claim();
    const marking = await ownership.takeOverChildren();

    const identity: DaemonIdentity = { version, instanceId: this.#instanceId, startedAt: Date.now() };
    const engine = createEngine({
      platform: this.#platform,
      settings,
      log: this.#log,
      counters: this.#counters,
      timings,
      token,
      identity,
      latency: this.#latency,
      wireLog: this.#wireLog,
      lifetime: this.#lifetime.signal,
      shellPath,
      keepChildren: this.#keepsChildren(),
      ...marking,
      requestShutdown: () => {
        if (!this.#willEnd) {
          this.#log.info('ServerHandler', 'server.shutdown received over RPC');
        }
        this.end();
      },
      onLessToDo: () => this.#reachability?.check(),
    });
    this.#engine = engine;

    // Bind and token belong together: of many starts at once, the one that is left must find its own token.
    await directory.exclusively(async () => {
      this.#listener = await this.#platform.transport.listen(socketPath, {
        onConnection: (socket) => engine.clients.accept(socket),
        onRefused: (reason) => {
          this.#counters.peersRefused++;
          this.#log.warn('Server', `connection refused: ${reason}`);
        },
        onError: (error) => this.#log.error('Server', `accept: ${error.message}`),
      });
      failpoint('daemon.listen.after');
      ownership.record({ instanceId: identity.instanceId, startedAt: identity.startedAt });
      for (const name of this.#platform.transport.foreignNames) {
        directory.removeLeftover(name);
      }
      this.#publishToken(directory, token);
    });
    await this.#startMetrics(engine, identity);
    this.#log.output(this.#banner());
    if (profile.platform.hostCleaner) {
      await this.#cleanHost();
    }
    this.#watch(token, directory, engine);
    this.#started = true;
    this.#endRequested?.();
  }

  #takeSignals(): void {
    this.#platform.host.onEndRequest((reason) => {
      if (this.#willEnd) {
        return;
      }
      const children = this.#keepsChildren() ? 'kept' : 'killed';
      this.#log.info('daemon', `received ${reason}; shutting down (children will be ${children})`);
      this.end();
    });
  }

  #capLog(): void {
    const { settings } = this.#context;
    if (settings.logMaxBytes === 0) {
      return;
    }
    const { paths, runDirectories, host } = this.#platform;
    const write = capLog({
      path: join(paths.directoryOf(settings.socketPath), logFileName),
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
      if (mode === 'all' || mode === 'serve') {
        this.#log.warn('Server', text);
      }
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
    if (wireLogPath === undefined) {
      return;
    }
    const [{ WireLog }, { WireLogFile }] = await Promise.all([
      import('../doors/rpc/wire-log/wire-log.ts'),
      import('../doors/rpc/wire-log/wire-log-file.ts'),
    ]);
    this.#wireLog = new WireLog({
      // A configuration file has no shell that would do it.
      file: new WireLogFile(this.#platform.paths.expandTilde(wireLogPath), wireLogMaxBytes, this.#platform.paths),
      maxString: wireLogMaxString,
      log: this.#log,
      counters: this.#counters,
    });
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

  async #startMetrics({ sessions, clients }: Engine, { startedAt }: DaemonIdentity): Promise<void> {
    const { metricsAddress: address, profile } = this.#context.settings;
    if (address === undefined || this.#latency === undefined) {
      return;
    }
    try {
      const { serveMetrics } = await import('../doors/metrics/metrics-server.ts');
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
          showsUsage: this.#platform.host.tellsUsage,
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
    const { startHostCleaner } = await import('../run-directory/cleaner/schedule.ts');
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

  #watch(token: Buffer, directory: RunDirectory, { sessions, clients }: Engine): void {
    const { settings } = this.#context;
    if (this.#listener === undefined) {
      return;
    }
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
    if (this.#ending) {
      return;
    }
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
    const closed = this.#engine?.clients.closeAll() ?? 0;
    this.#lifetime.abort();
    const killed = await this.#leaveChildren();
    this.#engine?.sessions.removeRecords();
    await this.abandon();
    this.#log.info('Server', `cleanup: closed ${closed} connection(s), killed ${killed} child process group(s)`);
  }

  /** @returns how many groups were killed */
  async #leaveChildren(): Promise<number> {
    const sessions = this.#engine?.sessions;
    if (sessions === undefined) {
      return 0;
    }
    await sessions.close();
    if (!this.#keepsChildren()) {
      return sessions.killAll();
    }
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
    this.#ownership?.release();
    directory?.close();
    this.#directory = undefined;
  }
}
