/** Which daemons the verbs mean: those of this user on this host, or the one of `--socket` (spec operators.md). */
import { realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { HostError } from '../../platform/errors.ts';
import type { Paths } from '../../platform/paths.ts';
import type { ClientPlatform } from '../../platform/platform.ts';
import type { ListedProcess, ProcessList } from '../../platform/process-list.ts';
import {
  connect,
  type DaemonDescription,
  HoldfastError,
  type HoldfastErrorKind,
  type Host,
  type SessionInfo,
} from '../client/index.ts';
import { readConfigurationFiles } from '../config/configuration-file.ts';
import { mergeSettings } from '../config/settings.ts';
import { defaultSocketPath, socketName } from '../run-directory/names.ts';
import { readDaemonWords } from '../run-directory/run-lock.ts';
import { type DaemonWords, targetOptions } from './daemon-options.ts';
import { isHolder } from './process-trees.ts';
import type { VerbContext } from './verbs.ts';

/** How we came to know of a daemon; only one that runs is missed when it does not answer. */
export type KnownBy = 'option' | 'default' | 'configuration' | 'process';

export interface DaemonPlace {
  readonly socket: string;
  /** The same path as the daemon itself has it, by which it marks its children. */
  readonly servedAs: string;
  readonly knownBy: KnownBy;
  /** Of the serve process that names the socket on its command line; `undefined`: none was seen. */
  readonly process: ListedProcess | undefined;
}

/** A daemon that answers. Whoever asked for it closes `host`. */
export interface ReachedDaemon extends DaemonPlace {
  readonly host: Host;
  /** `undefined`: a daemon of the contract alone, which tells nothing of its sessions. */
  readonly description: DaemonDescription | undefined;
  /** The oldest first. */
  readonly sessions: readonly SessionInfo[];
}

export interface UnreachedDaemon extends DaemonPlace {
  /** `refused`: nobody answers. */
  readonly kind: HoldfastErrorKind;
  readonly reason: string;
}

export interface Daemons extends AsyncDisposable {
  readonly reached: readonly ReachedDaemon[];
  /** Those that should answer and do not; a place where nobody listens and no daemon runs is none. */
  readonly unreached: readonly UnreachedDaemon[];
}

/** A daemon that is there answers at once; one that hangs must not hold up the others. */
const answerMs = 10_000;

/**
 * Places where a daemon of ours may be: of `--socket` that one alone, else the usual one, those of the configuration, and
 * those of every serve process of ours.
 * @param processes all of the host, where somebody has listed them already
 */
export async function daemonPlaces(
  words: Pick<DaemonWords, 'socket'>,
  context: VerbContext,
  processes?: readonly ListedProcess[],
): Promise<readonly DaemonPlace[]> {
  const platform = await context.clientPlatform();
  const { user, paths } = platform;
  const serving = await servingProcesses(platform, processes);
  if (words.socket !== undefined) {
    return [placeOf(words.socket, 'option', serving, paths)];
  }
  const { runDirectories = '' } = mergeSettings({}, readConfigurationFiles(context.executableDirectory));
  const home = user.home();
  const places = [
    ...(home === undefined ? [] : [placeOf(defaultSocketPath(home), 'default', serving, paths)]),
    ...runDirectories
      .split(delimiter)
      .filter((directory) => directory !== '')
      .map((directory) => placeOf(join(directory, socketName), 'configuration', serving, paths)),
    ...serving.map(
      ({ socket, process }): DaemonPlace => ({
        socket,
        servedAs: socket,
        knownBy: 'process',
        process,
      }),
    ),
  ];
  const seen = new Map<string, DaemonPlace>();
  for (const place of places) {
    const key = realSocket(place.socket, paths);
    if (!seen.has(key)) {
      seen.set(key, place);
    }
  }
  return [...seen.values()];
}

export interface SeenProcesses {
  readonly processes: readonly ListedProcess[];
  /** Why there are none; `undefined`: there are. */
  readonly reason: string | undefined;
}

/** All processes for who can do without: a daemon tells of its sessions also where the host hides its processes. */
export function seenProcesses(list: Pick<ProcessList, 'all'>): SeenProcesses {
  try {
    return { processes: list.all(), reason: undefined };
  } catch (error) {
    if (error instanceof HostError) {
      return { processes: [], reason: `${error.message}; ${error.remedy}` };
    }
    throw error;
  }
}

interface ServingProcess {
  readonly socket: string;
  readonly process: ListedProcess;
}

async function servingProcesses(
  platform: ClientPlatform,
  processes: readonly ListedProcess[] | undefined,
): Promise<readonly ServingProcess[]> {
  const { paths, user, processList } = platform;
  const list = await processList();
  const home = user.home();
  const all = processes ?? seenProcesses(list).processes;
  const byPid = new Map(all.map((each) => [each.identity.pid, each]));
  return all.flatMap((process): ServingProcess[] => {
    const parent = byPid.get(process.parent);
    // What a daemon has started is a session; on a host with many of them their words need not be read.
    const isCandidate = process.user === list.user && (parent === undefined || !isHolder(parent));
    const daemon = isCandidate ? readDaemonWords(process.words()) : undefined;
    const socket = daemon?.socket ?? (home === undefined ? undefined : defaultSocketPath(home));
    // A path that is not absolute was meant from a folder that we do not know.
    return daemon === undefined || socket === undefined || !paths.isAbsolute(socket) ? [] : [{ socket, process }];
  });
}

function placeOf(
  socket: string,
  knownBy: KnownBy,
  serving: readonly ServingProcess[],
  paths: Pick<Paths, 'clean' | 'directoryOf'>,
): DaemonPlace {
  const real = realSocket(socket, paths);
  const found = serving.find((each) => realSocket(each.socket, paths) === real);
  return { socket, servedAs: found?.socket ?? socket, knownBy, process: found?.process };
}

/** The same for every way to spell the path of a socket, also of one that is not there. */
function realSocket(socket: string, paths: Pick<Paths, 'clean' | 'directoryOf'>): string {
  const path = paths.clean(socket);
  const folder = paths.directoryOf(path);
  try {
    return join(realpathSync(folder), path.slice(folder.length));
  } catch {
    return path;
  }
}

/** Asks every daemon there is, all at the same time. Nothing is started. */
export async function reachDaemons(
  words: Pick<DaemonWords, 'socket'>,
  context: VerbContext,
  processes?: readonly ListedProcess[],
): Promise<Daemons> {
  const places = await daemonPlaces(words, context, processes);
  const found = await Promise.all(places.map((place) => reach(place, context)));
  const reached = found.flatMap((each) => (each !== undefined && 'host' in each ? [each] : []));
  const unreached = found.flatMap((each) => (each !== undefined && 'reason' in each ? [each] : []));
  return {
    reached,
    unreached,
    async [Symbol.asyncDispose]() {
      await Promise.all(reached.map(({ host }) => host.close()));
    },
  };
}

async function reach(place: DaemonPlace, context: VerbContext): Promise<ReachedDaemon | UnreachedDaemon | undefined> {
  let host: Host | undefined;
  try {
    const target = targetOptions({ socket: place.socket }, context, undefined);
    host = await connect({ ...target, connectTimeoutMs: answerMs, retry: { giveUpMs: 0 } });
    if (!host.daemon.hasExtensions) {
      return { ...place, host, description: undefined, sessions: [] };
    }
    const [description, sessions] = await Promise.all([host.describe(), host.sessions()]);
    return { ...place, host, description, sessions };
  } catch (error) {
    await host?.close();
    if (!(error instanceof HoldfastError)) {
      throw error;
    }
    const isAbsent = error.kind === 'refused' && place.process === undefined && place.knownBy !== 'option';
    return isAbsent ? undefined : { ...place, kind: error.kind, reason: error.message };
  }
}
