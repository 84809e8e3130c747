/**
 * The daemon of a socket gives way to one of the program as it is now. A durable one leaves its sessions with its keeper,
 * where the next one finds them (spec durable.md §5); another one is replaced only when no session would end with it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Platform } from '../../../platform/platform.ts';
import type { ServiceManager } from '../../../platform/service-manager.ts';
import { ownCommandLine, programFile } from '../../base/own-program.ts';
import { runManagerCommand } from '../../base/service-definition.ts';
import { version } from '../../base/version.ts';
import { connect, HoldfastError } from '../../client/index.ts';
import { parseFlags } from '../../config/flags.ts';
import { defaultSocketPath, tokenFileName } from '../../run-directory/names.ts';
import { targetOptions } from '../daemon-options.ts';
import { daemonPlaces } from '../daemons.ts';
import { startDaemonWithToken } from '../start-daemon.ts';
import type { VerbContext } from '../verbs.ts';

export interface DaemonWish {
  readonly socket: string | undefined;
  /** Start one where none runs. */
  readonly start: boolean;
  /** Replace one that runs this program already. */
  readonly restart: boolean;
  /** Replace one although sessions end with it. */
  readonly endSessions: boolean;
  /** Tell only. */
  readonly checkOnly: boolean;
  /** Of `-serve`, for the new one, behind those of the one that runs. */
  readonly flags: readonly string[];
}

export type DaemonState =
  | 'none'
  | 'would be started'
  | 'started'
  | 'current'
  | 'would be replaced'
  | 'replaced'
  /** It runs an older program, and `reason` tells why it was not replaced and what to do. */
  | 'left';

export interface DaemonOutcome {
  readonly socket: string;
  readonly state: DaemonState;
  readonly pid?: number | undefined;
  readonly version?: string | undefined;
  readonly durable?: boolean | undefined;
  /** That run. */
  readonly sessions?: number | undefined;
  readonly reason?: string | undefined;
  /** Name of the service manager that has started it; not there: nobody but us. */
  readonly by?: string | undefined;
}

interface Found {
  readonly outcome: DaemonOutcome;
  readonly isCurrent: boolean;
}

/** @throws HoldfastError when the new daemon could not be started */
export async function replaceDaemon(wish: DaemonWish, context: VerbContext): Promise<DaemonOutcome> {
  const platform = await context.platform();
  const home = platform.host.home();
  const socket = wish.socket ?? (home === undefined ? undefined : defaultSocketPath(home));
  if (socket === undefined) {
    throw new HoldfastError(
      'unsupported',
      `${platform.host.homeVariable} is not defined; name the daemon with --socket`,
    );
  }
  const found = await lookFor(socket, context);
  if (found === undefined) {
    return startWhereNone(socket, wish, platform, context);
  }
  const { outcome, isCurrent } = found;
  if (outcome.state === 'left' || (isCurrent && !wish.restart)) {
    return outcome;
  }
  const [place] = await daemonPlaces({ socket }, context);
  const before = flagsOf(place?.process?.words() ?? []);
  const service = await serviceHere(platform, context);
  const keeping = outcome.pid !== undefined && service?.keeping?.keeps(outcome.pid) ? service.keeping : undefined;
  const reason =
    sessionsInTheWay(outcome, wish) ?? (service && serviceInTheWay(service, keeping !== undefined, before, wish));
  if (reason !== undefined) {
    return { ...outcome, state: 'left', reason };
  }
  if (wish.checkOnly) {
    return { ...outcome, state: 'would be replaced' };
  }
  if (service !== undefined && keeping !== undefined) {
    const { failure, combined } = await runManagerCommand(keeping.restartCommand, platform, context.environment);
    if (failure !== undefined) {
      const why = combined.toString('utf8').trim() || failure;
      return { ...outcome, state: 'left', reason: `${service.name} keeps it, and did not start it anew: ${why}` };
    }
    return { ...(await outcomeNow(socket, context)), state: 'replaced', by: service.name };
  }
  const token = tokenOf(socket);
  if (token === undefined) {
    return { ...outcome, state: 'left', reason: `its token has gone from ${join(dirname(socket), tokenFileName)}` };
  }
  await startAt(socket, token, [...before, ...wish.flags], platform);
  return { ...(await outcomeNow(socket, context)), state: 'replaced' };
}

async function startWhereNone(
  socket: string,
  { start, checkOnly, flags }: DaemonWish,
  platform: Platform,
  context: VerbContext,
): Promise<DaemonOutcome> {
  if (!start || checkOnly) {
    return { socket, state: start ? 'would be started' : 'none' };
  }
  const service = await serviceHere(platform, context);
  if (service?.isInstalled === true && service.keeping !== undefined && flags.length === 0) {
    await runManagerCommand(service.keeping.startCommand, platform, context.environment);
    // The service may be for another socket, and its manager may be out of reach of this login.
    const found = await lookFor(socket, context);
    if (found !== undefined) {
      return { ...found.outcome, state: 'started', by: service.name };
    }
  }
  await startAt(socket, randomBytes(16).toString('hex'), flags, platform);
  return { ...(await outcomeNow(socket, context)), state: 'started' };
}

/** @returns `undefined` when nobody listens */
async function lookFor(socket: string, context: VerbContext): Promise<Found | undefined> {
  try {
    const outcome = await outcomeNow(socket, context);
    return { outcome, isCurrent: outcome.state === 'current' };
  } catch (error) {
    if (!(error instanceof HoldfastError)) {
      throw error;
    }
    // The socket of a daemon that has died is removed by the next start.
    if (error.kind === 'refused') {
      return undefined;
    }
    const reason =
      error.kind === 'unauthorized'
        ? 'it was started by a client that keeps the token to itself; that client starts the new program when it starts its daemon next, or stop this one (holdfast -stop)'
        : error.message;
    return { outcome: { socket, state: 'left', reason }, isCurrent: false };
  }
}

async function outcomeNow(socket: string, context: VerbContext): Promise<DaemonOutcome> {
  const host = await connect({ ...targetOptions({ socket }, context, undefined), retry: { giveUpMs: 0 } });
  try {
    if (!host.daemon.hasExtensions) {
      const reason = 'it is not of Holdfast, or of a release before 0.1; stop it first (holdfast -stop)';
      return { socket, state: 'left', version: host.daemon.version, reason };
    }
    const [description, sessions] = await Promise.all([host.describe(), host.sessions()]);
    const { pid, version: its, durable, startedAt } = description;
    const isOlder = its !== version || startedAt < Math.floor(statSync(programFile()).ctimeMs);
    const running = sessions.filter(({ state }) => state !== 'exited').length;
    return { socket, state: isOlder ? 'would be replaced' : 'current', pid, version: its, durable, sessions: running };
  } finally {
    await host.close();
  }
}

/** What speaks against the end of this daemon, and what to do; `undefined`: nothing. */
function sessionsInTheWay({ durable, sessions = 0 }: DaemonOutcome, { endSessions }: DaemonWish): string | undefined {
  if (durable === true || sessions === 0 || endSessions) {
    return undefined;
  }
  const are = sessions === 1 ? '1 session that runs' : `${sessions} sessions that run`;
  return `it is not durable, and ${are} would end with it; wait for their end, or end them with --end-sessions`;
}

/** The daemon of `holdfast service install`. */
interface Service extends Pick<ServiceManager, 'name' | 'keeping'> {
  readonly definition: string;
  readonly isInstalled: boolean;
}

async function serviceHere(platform: Platform, { environment }: VerbContext): Promise<Service | undefined> {
  const manager = await platform.host.serviceManager('daemon');
  const home = platform.host.home();
  if (manager === undefined || home === undefined) {
    return undefined;
  }
  const definition = manager.definitionPath(home, environment);
  return { name: manager.name, keeping: manager.keeping, definition, isInstalled: existsSync(definition) };
}

/** @param flags of the daemon that runs */
function serviceInTheWay(
  { name, definition, keeping, isInstalled }: Service,
  isKept: boolean,
  flags: readonly string[],
  wish: DaemonWish,
): string | undefined {
  if (isKept) {
    return wish.flags.every((flag) => flags.includes(flag))
      ? undefined
      : `${name} keeps it with the flags of ${definition}; change them there: holdfast service install -- <flags>`;
  }
  return keeping === undefined && isInstalled
    ? `${name} keeps it (${definition}); let it do that: holdfast service install, with the same flags as before`
    : undefined;
}

function tokenOf(socket: string): string | undefined {
  try {
    return readFileSync(join(dirname(socket), tokenFileName), 'utf8').split(/\r?\n/, 1)[0];
  } catch {
    return undefined;
  }
}

/** Of a daemon's command line, those that the next one is to have. */
function flagsOf(words: readonly string[]): string[] {
  const flags = ownCommandLine(words)?.flags ?? [];
  if (parseFlags(flags).outcome !== 'parsed') {
    return [];
  }
  const kept: string[] = [];
  for (let at = 0; at < flags.length; at++) {
    const word = flags[at] ?? '';
    const [, name = '', value] = /^--?([a-z-]+)(=.*)?$/s.exec(word) ?? [];
    if (name === 'serve') {
      continue;
    }
    if (['token-file', 'token-fd', 'socket'].includes(name)) {
      at += value === undefined ? 1 : 0;
      continue;
    }
    kept.push(word);
  }
  return kept;
}

async function startAt(socket: string, token: string, flags: readonly string[], platform: Platform): Promise<void> {
  const failure = await startDaemonWithToken(platform, dirname(socket), token, ['-socket', socket, ...flags]);
  if (failure !== undefined) {
    throw new HoldfastError('unsupported', `the new daemon could not be started: ${failure.replaceAll('\n', '; ')}`);
  }
}
