/**
 * The mesh daemon from its start to its end (spec mesh.md §3): what is built, in which order, and undone in reverse. A step
 * that fails undoes those before it.
 */
import { chmodSync } from 'node:fs';
import { hostname } from 'node:os';
import { HostError } from '../../../platform/errors.ts';
import type { Platform } from '../../../platform/platform.ts';
import { messageOf } from '../../base/error-texts.ts';
import { currentDirectory } from '../../base/exact-paths.ts';
import { printable } from '../../base/printable.ts';
import { createUndoStack, type UndoStack } from '../../base/undo-stack.ts';
import { connectBroker } from './broker/connection.ts';
import { chooseMesh, readConfig } from './config.ts';
import { MeshEvents } from './events.ts';
import type { MeshFolders } from './folders.ts';
import { checkHost, stableMac } from './host-fingerprint.ts';
import { EventStreams } from './http/event-streams.ts';
import { messageRoutes } from './http/message-routes.ts';
import { peerRoutes } from './http/peer-routes.ts';
import type { Routes } from './http/routes.ts';
import { MeshServer } from './http/server.ts';
import { statusRoutes } from './http/status-routes.ts';
import { stopRoutes } from './http/stop-route.ts';
import { localToken } from './local-token.ts';
import type { MeshLog } from './log.ts';
import { openFolder } from './open-folder.ts';
import { createReceiver } from './receiver.ts';
import { exitCodes, MeshRefusal } from './refusal.ts';
import { DrainWorker } from './send/drain-worker.ts';
import { SendRoutes } from './send/send-routes.ts';
import type { MeshSettings } from './settings.ts';
import { takeSingletonLock } from './singleton-lock.ts';
import { keepHouse } from './store/housekeeping.ts';
import { openStores, StoreFailure, type Stores } from './store/open-stores.ts';
import { meshTimings } from './timings.ts';

const portRemedy = 'pass --no-tcp, or name a free port with CLAUDEMESH_DAEMON_TCP_PORT';

export interface MeshOptions {
  readonly settings: MeshSettings;
  readonly folders: MeshFolders;
  readonly platform: Platform;
  readonly log: MeshLog;
  /** The one the user started us with. */
  readonly environment: NodeJS.ProcessEnv;
  /** A request to end, with the name of its signal. */
  onEndRequest(callback: (signal: string) => void): void;
}

/** Runs until it is asked to end. @returns the exit code @throws MeshRefusal when it cannot start */
export async function runMesh(options: MeshOptions): Promise<number> {
  const { log } = options;
  const stack = createUndoStack();
  const ending = Promise.withResolvers<string>();
  options.onEndRequest((signal) => ending.resolve(signal));
  try {
    await start(options, stack, ending);
    const signal = await ending.promise;
    log.info('daemon_shutdown', { signal });
  } finally {
    await stack.disposeAsync();
  }
  return 0;
}

async function start(options: MeshOptions, stack: UndoStack, ending: PromiseWithResolvers<string>): Promise<void> {
  const { settings, folders, platform, log, environment } = options;
  const { transport } = platform;
  const token = await takeFolder(options, stack);

  const stores = openAllStores(folders.daemon, log);
  stack.defer(() => {
    stores.inbox.close();
    stores.outbox.close();
  });
  stack.defer(keepHouse({ ...stores, timings: meshTimings, log }));

  const config = readConfig(folders.configFile);
  for (const each of config.meshes) {
    log.redact(each.secretKey);
    if (each.rootKey !== undefined) {
      log.redact(each.rootKey);
    }
  }
  const mesh = chooseMesh(config, settings.slug);

  const events = new MeshEvents();
  const broker = await connectBroker({
    member: mesh,
    presence: {
      displayName: settings.displayName ?? config.displayName ?? hostname(),
      ...{ pid: process.pid, cwd: currentDirectory() ?? '', hostname: hostname() },
    },
    receiver: createReceiver({ slug: mesh.slug, inbox: stores.inbox, events, log }),
    ...{ log, timings: meshTimings, environment, paths: platform.paths },
  });
  const drain = new DrainWorker({ outbox: stores.outbox, broker, timings: meshTimings, log });
  const sending = new SendRoutes({ outbox: stores.outbox, mesh: mesh.slug, onQueued: () => drain.wake() });
  ending.promise.then(() => sending.stop());
  const routes: Routes = {
    ...statusRoutes({ slug: mesh.slug, brokerState: () => broker.state }),
    ...peerRoutes(broker),
    ...messageRoutes(stores, sending),
    ...stopRoutes(platform.host.signalsAreRequests, () => ending.resolve('SIGTERM')),
  };
  const streams = new EventStreams(events, log);
  const { publicHealth, tcpPort } = settings;
  const server = stack.use(new MeshServer({ token, publicHealth, log, streams, routes, transport }));
  // The row in hand gets its result from the broker's close, and the streams are told of that before they end.
  stack.defer(async () => {
    await Promise.all([drain.stop(), broker.close()]);
  });
  drain.start();

  const sock = await orRefusal(folders.socket, '', () => server.listenForOwner(folders.socket));
  const tcp =
    tcpPort === undefined
      ? null
      : await orRefusal(`127.0.0.1:${tcpPort}`, portRemedy, () => server.listenOnLoopback(tcpPort));
  log.info('daemon_started', { pid: process.pid, sock, tcp, mesh: mesh.slug });
}

/** The folder becomes this process's: lock, host, token. @returns the token */
async function takeFolder({ settings, folders, platform, log }: MeshOptions, stack: UndoStack): Promise<string> {
  const { processes, transport } = platform;
  const directory = openFolder(folders.daemon, platform.runDirectories);
  stack.defer(() => directory.close());
  const lock = await takeSingletonLock({ directory, socket: folders.socket, processes, transport });
  stack.defer(() => lock.release());
  if (lock.recovered) {
    log.plain('recovered stale pid file; starting fresh');
  }
  const token = await orRefusal(folders.daemon, '', () => {
    checkHost(directory, { hostId: platform.host.hostId(), stableMac: stableMac() }, settings.clonePolicy, log);
    return localToken(directory);
  });
  log.redact(token);
  closeLogToOthers(folders.log);
  return token;
}

function openAllStores(folder: string, log: MeshLog): Stores {
  try {
    return openStores({ folder, timings: meshTimings, log });
  } catch (error) {
    throw error instanceof StoreFailure
      ? new MeshRefusal(printable(error.message), exitCodes.failed, { cause: error })
      : error;
  }
}

/** The service manager makes the file as its own umask has it. */
function closeLogToOthers(file: string): void {
  try {
    chmodSync(file, 0o600);
  } catch {
    // There is none: the daemon does not run as a service.
  }
}

/** @throws MeshRefusal that names what was to be had, and what to do where `remedy` or the error tells */
async function orRefusal<T>(what: string, remedy: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof MeshRefusal) {
      throw error;
    }
    const remedies = [remedy, error instanceof HostError ? error.remedy : ''].filter((each) => each !== '');
    const text = [`${what}: ${messageOf(error)}`, ...remedies].join('; ');
    throw new MeshRefusal(printable(text), exitCodes.failed, { cause: error });
  }
}
