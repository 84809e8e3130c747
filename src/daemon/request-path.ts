/** The way of a request through the daemon, put together: clients, dispatcher, methods, engine (docs/architecture.md). */
import type { Platform } from '../../platform/platform.ts';
import type { Counters } from '../base/counters.ts';
import type { Log } from '../base/log.ts';
import { defaultMemoryBudget, MemoryBudget } from '../base/memory-budget.ts';
import { runDirectoryMark } from '../base/session-mark.ts';
import type { Timings } from '../base/timings.ts';
import type { Settings } from '../config/settings.ts';
import type { RpcLatency } from '../doors/metrics/rpc-latency.ts';
import { Clients } from '../doors/rpc/clients.ts';
import { createDispatcher } from '../doors/rpc/dispatcher.ts';
import { type AllServices, contractMethods, endPrograms, extensionMethods } from '../doors/rpc/methods/all.ts';
import type { DaemonIdentity } from '../doors/rpc/methods/server.ts';
import type { WireLog } from '../doors/rpc/wire-log/wire-log.ts';
import { endDetached } from '../engine/detached-ttl.ts';
import { FairShare } from '../engine/local/fair-share.ts';
import { ShellAgent } from '../engine/local/shell-agent.ts';
import type { KeeperFacts, SessionEngine } from '../engine/session-engine.ts';
import type { LauncherHandler } from '../install/managed-launcher/launcher-handler.ts';

/** What an engine inside this process has in common with the clients. */
export interface SharedWithEngine {
  readonly share: FairShare;
  readonly budget: MemoryBudget;
}

export interface RequestPathOptions {
  openEngine(shared: SharedWithEngine): SessionEngine;
  /** What `holdfast.describe` tells of the keeper; `undefined`: there is none. */
  keeper(): KeeperFacts | undefined;
  readonly platform: Platform;
  readonly settings: Settings;
  readonly log: Log;
  readonly counters: Counters;
  readonly timings: Timings;
  readonly token: Buffer;
  readonly identity: DaemonIdentity;
  /** `undefined` where nobody can ask for it. */
  readonly latency: RpcLatency | undefined;
  readonly wireLog: WireLog | undefined;
  /** Ends look-ups that still run when the daemon ends. */
  readonly lifetime: AbortSignal;
  /** A client asks for the end of the daemon. */
  requestShutdown(): void;
  /** A session or a connection has ended: the daemon may be of no use any more. */
  onLessToDo(): void;
}

export interface RequestPath {
  readonly engine: SessionEngine;
  readonly clients: Clients;
  readonly budget: MemoryBudget;
  /** Ends the programs that methods have started and that still run. */
  endPrograms(): Promise<void>;
}

export function buildRequestPath(options: RequestPathOptions): RequestPath {
  const { platform, settings, log, counters, timings, token, identity } = options;
  const { profile } = settings;
  const share = new FairShare();
  const limitBytes = settings.memoryBudget ?? defaultMemoryBudget(platform.host.memoryLimit());
  const budget = new MemoryBudget({ limitBytes, log, counters });
  const engine = options.openEngine({ share, budget });
  engine.watch(({ event }) => {
    if (event === 'exited') {
      options.onLessToDo();
    }
  });
  const { detachedTtlMs: ttlMs } = settings;
  endDetached({ engine, ttlMs, checkMs: timings.detachedCheckMs, log, counters, signal: options.lifetime });
  const services: AllServices = {
    platform,
    profile,
    settings,
    log,
    counters,
    engine,
    daemon: identity,
    launcher: launcherOnDemand(platform, log),
    durable: settings.durable,
    keeper: options.keeper,
    runningArguments: async () =>
      (await engine.sessions())
        .filter(({ state }) => state !== 'exited')
        .map(({ command, args }) => [command, ...args]),
    requestShutdown: options.requestShutdown,
  };
  const dispatcher = createDispatcher({
    services,
    profile,
    token,
    methods: contractMethods,
    extensions: extensionMethods,
    log,
    observer: options.latency,
  });
  const clients = new Clients({
    dispatcher,
    log,
    counters,
    timings,
    requestCame: () => share.requestCame(),
    sendNow: platform.transport.sendNow,
    unreadBytes: platform.transport.unreadBytes,
    wireLog: options.wireLog,
    budget,
    reattachClosesOld: profile.process.reattachClosesOld,
    idleCloseMs: profile.wire.idleCloseMs,
    onClose: options.onLessToDo,
  });
  return { engine, clients, budget, endPrograms: () => endPrograms(services) };
}

/** Its code is loaded by its first request, as that of the methods in `loadedOnDemand`. */
function launcherOnDemand(platform: Platform, log: Log): AllServices['launcher'] {
  let handler: Promise<LauncherHandler> | undefined;
  return {
    async resolve(cliPath) {
      handler ??= import('../install/managed-launcher/launcher-handler.ts').then(
        (loaded) => new loaded.LauncherHandler(platform, log),
      );
      return (await handler).resolve(cliPath);
    },
  };
}

/** First half of the mark that every child carries (key `mark-children`); `undefined`: they carry none. */
export function sessionMarksFor({
  platform,
  settings,
}: Pick<RequestPathOptions, 'platform' | 'settings'>): string | undefined {
  const { markChildren, durable, reapTree, socketPath } = settings;
  return (markChildren ?? (durable || reapTree)) ? runDirectoryMark(platform.paths.directoryOf(socketPath)) : undefined;
}

/** `undefined`: the profile has no SSH agent hand-off. */
export function shellAgentFor({
  platform,
  settings,
  log,
  timings,
  lifetime,
}: Pick<RequestPathOptions, 'platform' | 'settings' | 'log' | 'timings' | 'lifetime'>): ShellAgent | undefined {
  return settings.profile.platform.sshAgentHandOff
    ? new ShellAgent({ platform, log, timings, signal: lifetime })
    : undefined;
}
