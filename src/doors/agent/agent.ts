/** The agent from its start to its end (spec agent.md §9): what is built, in which order, and how it stops. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { RunDirectoryLock } from '../../../platform/lock.ts';
import type { Platform } from '../../../platform/platform.ts';
import type { RunDirectory } from '../../../platform/run-directories.ts';
import { messageOf } from '../../base/error-texts.ts';
import { defaultMemoryBudget } from '../../base/memory-budget.ts';
import { ownCommand } from '../../base/own-process.ts';
import { type DeliveryContext, DeliveryQueue } from './delivery-queue.ts';
import { ErrorReports } from './error-reports.ts';
import { HostDaemon } from './host-daemon.ts';
import { InstructionLog } from './instruction-log.ts';
import { Instructions } from './instructions.ts';
import type { AgentLog } from './log.ts';
import { type AgentTimings, agentTimings, pause } from './pauses.ts';
import { poll } from './poller.ts';
import { AgentServer, type ServerLimits } from './server.ts';
import { SessionJournal } from './session-journal.ts';
import { AgentSessions } from './sessions.ts';
import type { AgentSettings } from './settings.ts';
import { ownVariables, planStart } from './start-plan.ts';
import { type AgentStatus, StatusReports } from './status-reports.ts';
import { endStrays } from './strays.ts';
import { TokenState } from './token-state.ts';

export interface AgentOptions {
  readonly settings: AgentSettings;
  /** Where the settings came from, for the log. */
  readonly source: string;
  readonly version: string;
  readonly platform: Platform;
  readonly environment: NodeJS.ProcessEnv;
  readonly workingFolder: string;
  readonly log: AgentLog;
  readonly timings?: Partial<AgentTimings>;
  readonly limits?: Partial<ServerLimits>;
  /** A request to end: the first is polite, the second is not. */
  onEndRequest(callback: () => void): void;
}

const lockName = 'agent.lock';
const lockRole = 'agent';
/** Acknowledgements that may wait: more than instructions can be remembered. */
const mostAcknowledgements = 10_000;

/** Runs until it is asked to end. @returns the exit code */
export async function runAgent(options: AgentOptions): Promise<number> {
  const { settings, source, log, platform } = options;
  log.redact(settings.agentToken);
  log.info('Agent starting...');
  log.info(`Configuration loaded from ${source}`);
  let lock: RunDirectoryLock;
  try {
    lock = takeStateLock(settings.stateDir, platform);
  } catch (error) {
    log.error(messageOf(error));
    return 1;
  }
  try {
    return await new Agent(options).run();
  } catch (error) {
    log.error(messageOf(error));
    return 1;
  } finally {
    lock.clearAndRelease();
  }
}

/** One agent for each state folder. @throws Error that says who has it */
function takeStateLock(stateDir: string, { runDirectories, processes }: Platform): RunDirectoryLock {
  const directory = openStateFolder(stateDir, runDirectories);
  const attempt = directory.tryLock(lockName, { create: true });
  if (attempt.state === 'held') {
    const pid = attempt.record === undefined ? '' : ` (pid ${attempt.record.pid})`;
    throw new Error(`Another agent is using ${stateDir}${pid}`);
  }
  if (attempt.state !== 'taken') {
    throw new Error(`The state folder ${stateDir} cannot be locked: ${attempt.reason}`);
  }
  const { pid, node } = processes.self();
  attempt.lock.write({ pid, role: lockRole, ...(node === undefined ? {} : { node }), startedAt: Date.now() });
  return attempt.lock;
}

/** @throws Error that says which setting names another folder */
function openStateFolder(stateDir: string, runDirectories: Platform['runDirectories']): RunDirectory {
  try {
    runDirectories.create(stateDir);
    return runDirectories.open(stateDir);
  } catch (error) {
    const why = `The state folder ${stateDir} cannot be used: ${messageOf(error)}`;
    throw new Error(`${why}; name another one in stateDir (STATE_DIR)`, { cause: error });
  }
}

/** What the host daemon keeps of all sessions in memory at most; what is more lies in their spools. */
const mostKeptBytes = 256 * 1024 * 1024;

/** Flags of the host daemon that an agent starts for itself. */
function daemonFlags({ spoolBytes }: AgentSettings, { host }: Platform): string[] {
  const budget = Math.min(mostKeptBytes, defaultMemoryBudget(host.memoryLimit()));
  const kept = ['-spool-bytes', String(spoolBytes), '-memory-budget', String(budget)];
  return ['-wire-profile', 'latest', '-durable', '-mark-children', '-reap-tree', ...kept];
}

class Agent {
  readonly #options: AgentOptions;
  readonly #timings: AgentTimings;
  readonly #startedAt = Date.now();
  readonly #instanceId = randomUUID();
  /** No more polls. */
  readonly #stopping = new AbortController();
  /** Nothing is sent and nothing is read any more. */
  readonly #over = new AbortController();
  /** The second request to end. */
  readonly #impatient = Promise.withResolvers<'impatient'>();

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#timings = { ...agentTimings, ...options.timings };
    options.onEndRequest(() => {
      if (this.#stopping.signal.aborted) {
        this.#impatient.resolve('impatient');
      }
      this.#stopping.abort();
    });
  }

  async run(): Promise<number> {
    const { settings, log, platform, environment, workingFolder } = this.#options;
    const server = this.#server();
    const journal = new SessionJournal(join(settings.stateDir, 'sessions.ndjson'));
    const entries = await InstructionLog.open(join(settings.stateDir, 'instructions.ndjson'));
    log.info(`Polling server at ${settings.serverUrl}`);
    const daemon = await HostDaemon.connect(this.#daemonOptions());
    try {
      if (daemon === undefined) {
        return await this.#endWithout();
      }
      await daemon.warnOfWeakDaemon();
      const context: DeliveryContext = {
        ...{ server, log, timings: this.#timings },
        token: new TokenState(log),
        signal: this.#over.signal,
      };
      const errors = new ErrorReports(context);
      const childEnvironment = withoutOwn(environment);
      const sessions = new AgentSessions({
        ...context,
        ...{ settings, daemon, journal, errors },
        plan: (id, order) => planStart(id, order, { settings, platform, environment: childEnvironment, workingFolder }),
        signalsAsk: platform.processes.signalsAsk,
        endStrays: (id) => endStrays(id, platform.paths.directoryOf(settings.socket), platform),
        changed: () => status.changed(),
      });
      const status: StatusReports = new StatusReports({
        ...context,
        intervalMs: settings.statusInterval,
        report: (state) => this.#report(state, sessions),
      });
      const acknowledgements = new DeliveryQueue('acknowledgement', mostAcknowledgements, context);
      const instructions = new Instructions({ entries, sessions, acknowledgements, errors, log });
      await sessions.findAgain();
      await poll({
        ...context,
        server,
        pollInterval: settings.pollInterval,
        take: (values) => instructions.take(values),
        signal: this.#stopping.signal,
      });
      return await this.#stop({ sessions, status, instructions, acknowledgements, errors });
    } finally {
      this.#over.abort();
      server.close();
      await daemon?.close();
      await entries.close();
    }
  }

  async #endWithout(): Promise<number> {
    const { log } = this.#options;
    log.info('Agent stopping...');
    log.info('Agent stopped');
    return 0;
  }

  async #stop(parts: {
    readonly sessions: AgentSessions;
    readonly status: StatusReports;
    readonly instructions: Instructions;
    readonly acknowledgements: DeliveryQueue;
    readonly errors: ErrorReports;
  }): Promise<number> {
    const { settings, log } = this.#options;
    const { sessions, status, instructions, acknowledgements, errors } = parts;
    const { graceMs, lastFlushMs } = this.#timings;
    log.info('Agent stopping...');
    const patient = async (): Promise<'stopped'> => {
      void status.tell('stopping');
      if (settings.onStop === 'terminate') {
        await sessions.terminateAll(graceMs);
        await this.#within(lastFlushMs, instructions.settled());
      }
      await this.#within(
        lastFlushMs,
        Promise.all([sessions.delivered(), acknowledgements.settled(), errors.settled()]),
      );
      await this.#within(lastFlushMs, status.tell('offline'));
      return 'stopped';
    };
    const how = await Promise.race([patient(), this.#impatient.promise]);
    status.end();
    if (how === 'impatient') {
      await sessions.killAll();
      log.info('Agent stopped at once');
      return 1;
    }
    log.info('Agent stopped');
    return 0;
  }

  async #within(ms: number, work: Promise<unknown>): Promise<void> {
    const limit = new AbortController();
    await Promise.race([work, pause(ms, limit.signal)]);
    limit.abort();
  }

  #server(): AgentServer {
    const { settings, version, environment, platform, log, limits } = this.#options;
    return new AgentServer({
      serverUrl: settings.serverUrl,
      token: settings.agentToken,
      instanceId: this.#instanceId,
      ...{ version, environment, paths: platform.paths },
      warn: (text) => log.warn(text),
      ...(limits === undefined ? {} : { limits }),
    });
  }

  #daemonOptions() {
    const { settings, environment, log, platform } = this.#options;
    const isOwn = settings.socket === join(settings.stateDir, 'run', 'rpc.sock');
    if (isOwn) {
      platform.runDirectories.create(platform.paths.directoryOf(settings.socket));
    }
    // The start script of this program is no program on every system, so the daemon is started as we were.
    const { file, args, env } = ownCommand([], Object.entries(withoutOwn(environment)));
    return {
      socket: settings.socket,
      flags: isOwn ? daemonFlags(settings, platform) : undefined,
      program: [file, ...args],
      environment: Object.fromEntries(env),
      log,
      signal: AbortSignal.any([this.#stopping.signal, this.#over.signal]),
    };
  }

  #report(status: AgentStatus, sessions: AgentSessions): object {
    const { settings, version } = this.#options;
    return {
      status,
      agent: {
        version,
        instanceId: this.#instanceId,
        pid: process.pid,
        hostname: hostname(),
        platform: this.#options.platform.os,
        arch: process.arch,
        startedAt: new Date(this.#startedAt).toISOString(),
        uptimeMs: Date.now() - this.#startedAt,
      },
      limits: {
        maxConcurrentSessions: settings.maxConcurrentSessions,
        running: sessions.runningCount,
        queued: sessions.queuedCount,
      },
      sessions: sessions.all.map((session) => session.report),
    };
  }
}

/** What children and the host daemon see of our environment. */
function withoutOwn(environment: NodeJS.ProcessEnv): Record<string, string> {
  const left: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && !ownVariables.includes(name.toUpperCase())) {
      left[name] = value;
    }
  }
  return left;
}
