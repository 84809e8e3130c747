/** The detached daemon, put together: what is built, in which order (spec modes.md §7), and undone in reverse (§8). */
import { join } from 'node:path';
import type { Platform } from '../../platform/platform.ts';
import { createCounters } from '../base/counters.ts';
import { EndRequest } from '../base/end-request.ts';
import type { Log } from '../base/log.ts';
import { pinModules } from '../base/pinned-modules.ts';
import { raiseOpenFilesLimit, surviveFailures } from '../base/process-set-up.ts';
import { failedReport, type PeerCheck, readyReport, takeMarkers, takePeerCheck } from '../base/start-markers.ts';
import { timings } from '../base/timings.ts';
import { createUndoStack, failuresOf, type UndoStack } from '../base/undo-stack.ts';
import { version } from '../base/version.ts';
import { logWarnings, type Settings } from '../config/settings.ts';
import { createLatency, startMetrics } from '../doors/metrics/start-metrics.ts';
import { loadedOnDemand } from '../doors/rpc/methods/all.ts';
import { openWireLog } from '../doors/rpc/wire-log/open-wire-log.ts';
import { leaveSessions } from '../engine/leave-sessions.ts';
import { lookUpShellPath } from '../engine/local/shell-path.ts';
import { banner } from '../run-directory/banner.ts';
import { capLog } from '../run-directory/capped-log.ts';
import { logFileName } from '../run-directory/names.ts';
import { Ownership } from '../run-directory/ownership.ts';
import { Publication } from '../run-directory/publication.ts';
import { watchReachability } from '../run-directory/reachability.ts';
import { failureLines } from '../run-directory/start-failure.ts';
import { takeToken } from '../run-directory/token.ts';
import { buildRequestPath, type RequestPathOptions } from './request-path.ts';

export interface DaemonOptions {
  readonly settings: Settings;
  /** The environment of the process; the launcher's variables are taken out of it. */
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Log;
  readonly platform: Platform;
}

/** Serves until somebody asks for the end. @returns the exit code */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const { log, platform } = options;
  const { statusDescriptor, tokenDescriptor } = takeMarkers(options.environment);
  const peerCheck = options.settings.profile.server.peerCheck ? takePeerCheck(options.environment) : 'off';
  const report = (text: string): void => {
    if (statusDescriptor !== undefined) {
      platform.host.reportStatus(statusDescriptor, text);
    }
  };
  const end = new EndRequest();
  const undo = createUndoStack();
  let left: Left;
  try {
    left = await build(options, { tokenDescriptor, peerCheck }, end, undo);
  } catch (error) {
    const reasons = failureLines(error);
    for (const line of reasons) {
      log.raw(line);
    }
    await undoAll(undo, log);
    report([failedReport, ...reasons].join('\n'));
    await platform.host.loginShellsEnded();
    return 1;
  }
  const ended = end.whenAsked(async () => {
    log.info('Server', 'shutdown requested');
    await undoAll(undo, log);
    log.info(
      'Server',
      `cleanup: closed ${left.connections} connection(s), killed ${left.groups} child process group(s)`,
    );
  });
  report(readyReport);
  await ended;
  await platform.host.loginShellsEnded();
  return 0;
}

async function undoAll(undo: UndoStack, log: Log): Promise<void> {
  try {
    await undo.disposeAsync();
  } catch (error) {
    for (const failure of failuresOf(error)) {
      log.error('Server', `shutdown: ${String(failure)}`);
    }
  }
}

/** What the end has closed and killed; known when everything is undone. */
interface Left {
  connections: number;
  groups: number;
}

/** What the environment said; it is taken out of it. */
interface StartedWith {
  readonly tokenDescriptor: string | undefined;
  readonly peerCheck: PeerCheck;
}

/** Every step that succeeds adds to `undo` what undoes it. */
async function build(
  { settings, log, platform }: DaemonOptions,
  { tokenDescriptor, peerCheck }: StartedWith,
  end: EndRequest,
  undo: UndoStack,
): Promise<Left> {
  const { host, paths, runDirectories } = platform;
  const { profile, socketPath, listenPipe, metricsAddress } = settings;
  const counters = createCounters();
  const keepChildrenAllowed = profile.platform.windowsKeepChildren;
  // Durable sessions live on in any case.
  const keepChildren = settings.durable || (settings.keepChildren && host.keepsChildren(keepChildrenAllowed));
  const runDirectory = paths.directoryOf(socketPath);

  host.onEndRequest((reason) =>
    end.ask(() => {
      const children = keepChildren ? 'kept' : 'killed';
      log.info('daemon', `received ${reason}; shutting down (children will be ${children})`);
    }),
  );
  surviveFailures(log);
  const { logMaxBytes: maxBytes } = settings;
  capLog({ log, path: join(runDirectory, logFileName), maxBytes, runDirectories, host, counters });
  raiseOpenFilesLimit(host, log);
  logWarnings(settings, ['all', 'serve'], log);
  for (const text of host.serveWarnings({ listenPipe, keepChildren: settings.keepChildren, keepChildrenAllowed })) {
    log.warn('Server', text);
  }

  const token = takeToken(settings, tokenDescriptor, platform, log);
  log.redact(token.toString('utf8'));
  const lifetime = new AbortController();
  undo.defer(() => lifetime.abort());
  const shellPath = lookUpShellPath(host, log, timings.shellPathMs, lifetime.signal);
  const wireLog = undo.use(await openWireLog(settings, { paths, log, counters }));

  const directory = runDirectories.open(runDirectory);
  undo.defer(() => directory.close());
  pinModules(loadedOnDemand, () => runDirectories.openNameless(runDirectory));
  const instanceId = host.randomHex(16);
  const ownership = undo.use(new Ownership({ platform, settings, directory, instanceId, log, timings }));
  await ownership.claim();
  const marking = await ownership.takeOverChildren();

  const identity = { version, instanceId, startedAt: Date.now(), peerCheck };
  const latency = createLatency(metricsAddress);
  let lookForUse = (): void => {};
  const durable = settings.durable
    ? await (await import('./durable-sessions.ts')).openDurableSessions({
        ...{ platform, settings, directory, ownership, log, counters, timings, shellPath },
        ...{ markedFor: marking.markedFor, lifetime: lifetime.signal },
      })
    : undefined;
  const common = { platform, settings, log, counters, timings, lifetime: lifetime.signal };
  let openEngine: RequestPathOptions['openEngine'];
  if (durable === undefined) {
    const { openLocalSessions } = await import('./local-sessions.ts');
    openEngine = (shared) => openLocalSessions({ ...common, ...marking, shellPath, keepChildren }, shared);
  } else {
    openEngine = () => durable;
  }
  const { engine, clients, budget, endPrograms } = buildRequestPath({
    openEngine,
    keeper: () => durable?.keeper,
    ...{ ...common, token, identity, latency, wireLog },
    requestShutdown: () => end.ask(() => log.info('ServerHandler', 'server.shutdown received over RPC')),
    onLessToDo: () => lookForUse(),
  });

  undo.defer(endPrograms);

  const publishedToken = settings.tokenFd === undefined ? token : undefined;
  const publication = undo.use(new Publication({ platform, directory, socketPath, publishedToken, log }));
  const listener = await publication.publish(
    {
      onConnection: (socket) => clients.accept(socket),
      onRefused(reason) {
        counters.peersRefused++;
        log.warn('Server', `connection refused: ${reason}`);
      },
      onError: (error) => log.error('Server', `accept: ${error.message}`),
    },
    () => ownership.record({ instanceId, startedAt: identity.startedAt }),
  );
  const left = { connections: 0, groups: 0 };
  undo.defer(async () => {
    if (durable === undefined) {
      left.groups = await leaveSessions(engine, marking.records, keepChildren, log);
    } else {
      await durable.detach();
    }
  });
  undo.defer(() => lifetime.abort());
  undo.defer(() => {
    left.connections = clients.closeAll();
  });
  undo.use(
    await startMetrics({
      ...{ address: metricsAddress, latency, platform, log, counters },
      sources: {
        ...{ counters, version, profile: profile.name, startedAt: identity.startedAt, showsUsage: host.tellsUsage },
        connections: () => clients.count,
        // A keeper that cannot be reached costs the figures of its sessions, not the page.
        sessions: () => (durable === undefined ? engine.sessions() : durable.sessions().catch(() => [])),
        logLinesLost: () => log.droppedLines,
        memoryBudget: budget,
      },
    }),
  );
  undo.defer(() => listener.close());
  if (peerCheck === 'unavailable') {
    log.warn('Server', host.noPeerCheck);
  }
  log.output(banner(settings, instanceId));
  if (profile.platform.hostCleaner) {
    const { startHostCleaner } = await import('../run-directory/cleaner/schedule.ts');
    const { signal } = lifetime;
    startHostCleaner({ platform, socketPath, log, counters, timings, signal });
  }
  const reachability = undo.use(
    watchReachability({
      ...{ platform, directory, listener, socketPath, token, instanceId, log, timings },
      connectionCount: () => clients.count,
      // Durable sessions lose nothing when their daemon ends.
      sessionCount: () => (durable === undefined ? engine.runningCount : 0),
      selfProbe: profile.modes.selfProbe,
      end: () => end.ask(),
    }),
  );
  lookForUse = () => reachability.check();
  return left;
}
