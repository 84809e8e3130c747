/**
 * One daemon at a time in a run directory: the lock, its record, and how a predecessor is asked to go
 * (spec modes.md §7 "Lock and eviction", §10). No signal is ever sent on the word of the record alone.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { LockAttempt, LockRecord, RunDirectoryLock } from '../../platform/lock.ts';
import type { Platform } from '../../platform/platform.ts';
import type { ProcessIdentity } from '../../platform/processes.ts';
import type { RunDirectory } from '../../platform/run-directories.ts';
import type { Log } from '../base/log.ts';
import { ownCommandLine } from '../base/own-program.ts';
import { keeperWord } from '../base/start-markers.ts';
import { parseFlags } from '../config/flags.ts';
import { defaultSocketPath, lockFileName } from './names.ts';

/** The role a daemon writes into its record. */
export const serveRole = 'serve';

const retryMs = 50;
/** A holder that has just taken the lock needs a moment to write its record. */
const recordWaitMs = 500;
/**
 * Many starts at the same time end each other in turn. A start that has ended this many daemons serves without the
 * lock.
 */
const maxEvictions = 40;

export interface EvictionOptions {
  readonly platform: Platform;
  readonly directory: RunDirectory;
  readonly socketPath: string;
  readonly log: Log;
  /** Who asks: the lines of the log begin with it. */
  readonly asker: 'serve' | 'stop';
  /** From SIGTERM to SIGKILL, and after that. */
  readonly termMs: number;
  readonly killMs: number;
  /** Takes the lock; `-stop` only looks and never makes the file. */
  readonly create: boolean;
}

export type Eviction =
  /** Nobody held it. */
  | { readonly outcome: 'free'; readonly lock: RunDirectoryLock }
  | { readonly outcome: 'terminated' | 'killed'; readonly lock: RunDirectoryLock }
  | { readonly outcome: 'survivor' | 'unavailable' };

/** Takes the lock, ending a verified predecessor on the way. */
export async function takeLock(options: EvictionOptions): Promise<Eviction> {
  let outcome: 'free' | 'terminated' | 'killed' = 'free';
  for (let round = 0; round < maxEvictions; round++) {
    const attempt = await attemptWithRecord(options);
    if (attempt.state === 'taken') {
      return { outcome, lock: attempt.lock };
    }
    if (attempt.state !== 'held') {
      // For `-stop` a lock that is not there or cannot be read is as good as none; another user's is worth a word.
      if (options.asker === 'serve' || attempt.state === 'foreign') {
        tell(options, `${options.asker}: WARNING ${attempt.reason}`);
      }
      return { outcome: 'unavailable' };
    }
    const ended = await endHolder(attempt.record, options);
    if (ended === 'survivor') {
      return { outcome: 'survivor' };
    }
    if (ended !== 'changed') {
      outcome = ended;
    }
  }
  return { outcome: 'survivor' };
}

/** A held lock whose record is not there yet is looked at again. */
async function attemptWithRecord(options: EvictionOptions): Promise<LockAttempt> {
  for (let waited = 0; ; waited += retryMs) {
    const attempt = options.directory.tryLock(lockFileName, { create: options.create });
    if (attempt.state !== 'held' || attempt.record !== undefined || waited >= recordWaitMs) {
      return attempt;
    }
    await delay(retryMs);
  }
}

/** `changed`: another process holds the lock by now, so the question starts again. */
async function endHolder(
  record: LockRecord | undefined,
  options: EvictionOptions,
): Promise<'terminated' | 'killed' | 'survivor' | 'changed'> {
  const { asker, directory, termMs, killMs } = options;
  const leaveAlone = (reason: string): 'survivor' => {
    tell(
      options,
      `${asker}: WARNING ${directory.path}/${lockFileName} is held by a live process we will not signal (${reason}); leaving it alone`,
    );
    tell(options, `${asker}: previous owner of ${directory.path}: survivor`);
    return 'survivor';
  };
  if (record === undefined) {
    return leaveAlone('its record cannot be read');
  }
  const holder = verify(record, options);
  if (holder === undefined) {
    // It has ended and the system is about to drop its lock, or the lock is not its own any more.
    const lock = await waitForRelease(record, recordWaitMs, options);
    return lock === 'held' ? leaveAlone(notOurs(record, options)) : 'changed';
  }
  if (typeof holder === 'string') {
    return leaveAlone(holder);
  }

  const who = `pid ${record.pid}${record.instanceId === undefined ? '' : ` (instance "${record.instanceId}")`}`;
  tell(options, `${asker}: run dir is held by a live daemon, ${who}; sending SIGTERM`);
  if (options.platform.processes.signalIfSame(holder, 'TERM') === 'refused') {
    return leaveAlone('it may not be signalled');
  }
  const afterTerm = await waitForRelease(record, termMs, options);
  if (afterTerm === 'released') {
    tell(options, `${asker}: previous daemon ${who} exited after SIGTERM`);
    return 'terminated';
  }
  if (afterTerm === 'changed') {
    return 'changed';
  }

  const still = verify(record, options) ?? notOurs(record, options);
  if (typeof still === 'string') {
    if (asker === 'stop') {
      tell(
        options,
        `stop: pid ${record.pid} is no longer our serve holder before SIGKILL (${still}); leaving it alone`,
      );
      return 'survivor';
    }
    return leaveAlone(still);
  }
  tell(
    options,
    `${asker}: WARNING previous daemon ${who} ignored SIGTERM for ${termMs / 1000}s; sending SIGKILL` +
      ' (its Claude Code children, if any, are ended next, before this daemon serves)'.repeat(
        asker === 'serve' ? 1 : 0,
      ),
  );
  options.platform.processes.signalIfSame(still, 'KILL');
  const afterKill = await waitForRelease(record, killMs, options);
  if (afterKill === 'released') {
    tell(options, `${asker}: previous owner of ${directory.path}: killed`);
    return 'killed';
  }
  if (afterKill === 'changed') {
    return 'changed';
  }
  tell(
    options,
    `${asker}: WARNING previous daemon ${who} survived SIGKILL (uninterruptible?); proceeding without run-dir ownership`,
  );
  tell(options, `${asker}: previous owner of ${directory.path}: survivor`);
  return 'survivor';
}

/** Looks whether the holder lets go; the lock is taken by the caller's next attempt, not here. */
async function waitForRelease(
  record: LockRecord,
  limitMs: number,
  options: EvictionOptions,
): Promise<'released' | 'held' | 'changed'> {
  for (let waited = 0; waited < limitMs; waited += retryMs) {
    await delay(retryMs);
    const attempt = options.directory.tryLock(lockFileName, { create: options.create });
    if (attempt.state === 'taken') {
      attempt.lock.releaseUnchanged();
      return 'released';
    }
    if (attempt.state === 'held' && attempt.record !== undefined && attempt.record.pid !== record.pid) {
      return 'changed';
    }
  }
  return 'held';
}

/**
 * Whether the recorded holder is a daemon of ours for this socket.
 * @returns its identity, the reason why it is not, or `undefined` when there is no such process any more
 */
function verify(record: LockRecord, options: EvictionOptions): ProcessIdentity | string | undefined {
  if (record.role !== serveRole) {
    return `its holder is not a daemon (role "${record.role}")`;
  }
  const { processes } = options.platform;
  const own = processes.self();
  if (own.start === '') {
    return 'this host does not show who a process is';
  }
  if (record.node !== own.node) {
    return 'it belongs to another boot or another pid namespace';
  }
  if (record.pid === own.pid) {
    return 'its record names this very process';
  }
  const identity = processes.identify(record.pid);
  if (identity === undefined) {
    return undefined;
  }
  const words = processes.commandLine(record.pid);
  return words !== undefined && servesSocket(words, options) ? identity : notOurs(record, options);
}

function notOurs({ pid }: LockRecord, { socketPath }: EvictionOptions): string {
  return `pid ${pid} is not a ${programName} --serve process for ${socketPath}`;
}

/** What the user knows us by, also where the executable of the process is our runtime. */
const programName = 'holdfast';

/** The same path may be spelled otherwise, and a daemon without `-socket` serves the default one. */
function servesSocket(words: readonly string[], { socketPath, platform }: EvictionOptions): boolean {
  const daemon = readDaemonWords(words);
  if (daemon === undefined) {
    return false;
  }
  const { paths, host } = platform;
  const home = host.home();
  const served = daemon.socket ?? (home === undefined ? undefined : defaultSocketPath(home));
  return served !== undefined && paths.clean(served) === paths.clean(socketPath);
}

/**
 * The words of a daemon of ours: the file it was started from, and its socket path as it was given, `undefined` for the
 * default. `undefined` for any other process.
 */
export function readDaemonWords(
  words: readonly string[],
): { readonly program: string; readonly socket: string | undefined } | undefined {
  const own = ownCommandLine(words);
  const parsed = own === undefined ? undefined : parseFlags(own.flags);
  if (own === undefined || parsed?.outcome !== 'parsed' || parsed.given.serve !== true) {
    return undefined;
  }
  return { program: own.program, socket: parsed.given.socket };
}

/** The same for a keeper of durable sessions. */
export function readKeeperWords(words: readonly string[]): { readonly socket: string | undefined } | undefined {
  const [first, ...flags] = ownCommandLine(words)?.flags ?? [];
  const parsed = first === keeperWord ? parseFlags(flags) : undefined;
  return parsed?.outcome === 'parsed' ? { socket: parsed.given.socket } : undefined;
}

function tell({ log }: EvictionOptions, text: string): void {
  if (text.includes('WARNING')) {
    log.warn('daemon', text);
  } else {
    log.info('daemon', text);
  }
}
