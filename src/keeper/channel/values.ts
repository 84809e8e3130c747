/** The JSON values of the messages (docs/keeper.md "Messages"), and what the engine makes of them. Both ends read this file. */
import { SystemCallError } from '../../../platform/errors.ts';
import type { Variable } from '../../../platform/started-with.ts';
import type { Counters } from '../../base/counters.ts';
import type { Component, Level } from '../../base/log.ts';
import { EngineFailure, type EngineFailureKind, LauncherFailure } from '../../engine/failures.ts';
import type {
  ClosedEngine,
  EndRequest,
  EndResult,
  InputResult,
  Opened,
  ReaderRole,
  SessionEvent,
  SessionExit,
  SessionInfo,
  SpawnRequest,
} from '../../engine/session-engine.ts';
import type { Profile } from '../../wire/profile.ts';
import { ChannelError } from './message-reader.ts';

/** What the daemon in front of the sessions is, as far as they are concerned: the newest one's settings hold. */
export interface FrontSettings {
  readonly process: Profile['process'];
  readonly platform: Profile['platform'];
  readonly slowReader: 'pace' | 'drop';
  /** What children inherit, and the working directory of those that name none. */
  readonly environment: readonly Variable[];
  readonly workingDirectory: string | undefined;
  /** The run directory children are marked for; `undefined`: they are not. */
  readonly markedFor: string | undefined;
  /** First half of the mark that every child carries; `undefined`: they carry none. */
  readonly sessionMarks: string | undefined;
  readonly unseenRetentionMs: number | undefined;
  /** Processes that may run at once; 0, or missing in an older daemon's: any number. */
  readonly maxSessions?: number;
  /** Largest spool of one session; 0, or missing in an older daemon's: none. Holds for sessions that begin. */
  readonly spoolBytes?: number;
  /** What ended sessions have left is ended too; missing in an older daemon's: it is not. */
  readonly reapTree?: boolean;
  /** Bytes the keeper holds for all clients together; 0: no limit. */
  readonly memoryBudget: number;
  /** Frames are sent in pieces of about so many bytes. */
  readonly pieceBytes: number;
}

/** Half of them would leave the sessions with rules of nobody. @throws ChannelError */
export function readSettings(value: unknown): FrontSettings {
  const settings = (value ?? {}) as Partial<FrontSettings>;
  const { process, platform, environment, memoryBudget, pieceBytes, slowReader } = settings;
  const isWhole =
    [process, platform].every((rows) => typeof rows === 'object' && rows !== null) &&
    Array.isArray(environment) &&
    environment.every((each) => Array.isArray(each) && each.length === 2 && each.every(isText)) &&
    [memoryBudget, pieceBytes].every((each) => Number.isSafeInteger(each) && Number(each) >= 0) &&
    (slowReader === 'pace' || slowReader === 'drop');
  if (!isWhole) {
    throw new ChannelError('settings that are not whole');
  }
  return settings as FrontSettings;
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

/** What a keeper tells first. */
export interface KeeperState {
  readonly sessions: readonly SessionInfo[];
  readonly startedAt: number;
}

/** Memory of the keeper in which frames lie (docs/keeper.md "Frames in shared memory"). */
export interface SentMemory {
  /** As `SharedMemory.open` wants it. */
  readonly address: string;
  readonly segmentBytes: number;
}

/** Frames that lie there. */
export type SentShared = readonly [firstSeq: number, lastSeq: number, isPromised: 0 | 1, at: number, bytes: number];

/** A number beyond 2^53 may come, so these travel as text. */
type BigText = string;

/** An older keeper knows `exact` only; nobody sends it `aside`, because its activity does not tell of it. */
export type SentInputPlace = 'exact' | { readonly aside: BigText };

/** The requests of the engine's interface; `reader` is a number that the daemon has given it. */
export type Call =
  | { readonly method: 'spawn'; readonly reader: number; readonly request: SentSpawn }
  | {
      readonly method: 'input';
      readonly id: string;
      readonly offset: BigText | undefined;
      readonly place?: SentInputPlace;
    }
  | { readonly method: 'closeInput'; readonly id: string; readonly offset: BigText }
  | { readonly method: 'end'; readonly id: string; readonly how: SentEnd; readonly reader: number | undefined }
  | {
      readonly method: 'attach';
      readonly id: string;
      readonly fromSeq: BigText;
      readonly reader: number;
      readonly role: ReaderRole;
      /** An older keeper does not know it, and tells nothing of it. */
      readonly more?: 'activity';
    }
  | { readonly method: 'unobserve'; readonly id: string; readonly reader: number }
  | { readonly method: 'sessions' }
  | { readonly method: 'close'; readonly children: 'end' | 'keep' };

/** Where a reply belongs: mark number `mark` in stream number `stream`. */
export interface SentPlace {
  readonly mark: number;
  readonly stream: number;
}

export type SentOpened = Omit<Opened, 'mark'> & { readonly place: SentPlace | undefined };
export type SentEndResult = Omit<EndResult, 'mark'> & { readonly place: SentPlace | undefined };

/** What stands in a `result`. JSON has no `undefined`, so nothing is `null`. */
export type SentResult =
  | SentOpened
  | SentEndResult
  | InputResult
  | boolean
  | readonly SessionInfo[]
  | ClosedEngine
  | null;

// ---- requests

export type SentSpawn = Omit<SpawnRequest, 'ifAbsent'> & {
  readonly ifAbsent: { readonly fromSeq: BigText } | undefined;
};

export function sentSpawn(request: SpawnRequest): SentSpawn {
  const { ifAbsent } = request;
  return {
    ...request,
    ifAbsent: ifAbsent === undefined ? undefined : { fromSeq: String(ifAbsent.fromSeq) },
  };
}

export function readSpawn(sent: SentSpawn): SpawnRequest {
  const { ifAbsent } = sent;
  return {
    ...sent,
    cwd: sent.cwd,
    door: sent.door,
    launcher: sent.launcher,
    env: sent.env,
    ifAbsent: ifAbsent === undefined ? undefined : { fromSeq: BigInt(ifAbsent.fromSeq) },
  };
}

type WithText<E> = E extends { readonly graceMs: bigint | undefined }
  ? Omit<E, 'graceMs'> & { readonly graceMs: BigText | undefined }
  : E;
export type SentEnd = WithText<EndRequest>;

export function sentEnd(how: EndRequest): SentEnd {
  return how.how === 'signal' ? how : { ...how, graceMs: how.graceMs === undefined ? undefined : String(how.graceMs) };
}

export function readEnd(sent: SentEnd): EndRequest {
  return sent.how === 'signal'
    ? sent
    : { ...sent, graceMs: sent.graceMs === undefined ? undefined : BigInt(sent.graceMs) };
}

// ---- failures

export type SentFailure =
  | { readonly engine: EngineFailureKind }
  | { readonly launcher: LauncherFailure['kind']; readonly text: string }
  /** The operating system's own words. */
  | { readonly system: string; readonly code: string }
  /** Nobody expected it. */
  | { readonly fault: string };

export function sentFailure(error: unknown): SentFailure {
  if (error instanceof EngineFailure) {
    return { engine: error.kind };
  }
  if (error instanceof LauncherFailure) {
    return { launcher: error.kind, text: error.message };
  }
  if (error instanceof SystemCallError) {
    return { system: error.message, code: error.code };
  }
  return { fault: error instanceof Error ? error.message : String(error) };
}

export function readFailure(sent: SentFailure): Error {
  if ('engine' in sent) {
    return new EngineFailure(sent.engine);
  }
  if ('launcher' in sent) {
    return new LauncherFailure(sent.launcher, sent.text);
  }
  return 'system' in sent ? new SystemCallError(sent.system, sent.code) : new Error(sent.fault);
}

// ---- what else the keeper tells

/** JSON leaves out what is `undefined`, and an exit has all its members. */
function readExit({ at, code, signal, killedBy }: SessionExit): SessionExit {
  return { at, code, signal, killedBy };
}

/** A keeper of channel 1 tells no `spoolBytes`. */
type SentSession = Omit<SessionInfo, 'spoolBytes'> & Partial<Pick<SessionInfo, 'spoolBytes'>>;

export function readSessions(sent: readonly SentSession[]): readonly SessionInfo[] {
  return sent.map((info) => ({
    ...info,
    spoolBytes: info.spoolBytes ?? 0,
    exit: info.exit === undefined ? undefined : readExit(info.exit),
  }));
}

/** A keeper of an older release tells of an end twice, first when the OS process has ended. */
export type SentEvent = SessionEvent | (Omit<SessionEvent, 'event'> & { readonly event: 'ended' });

/** @returns `undefined` for what is told no more */
export function readEvent(sent: SentEvent): SessionEvent | undefined {
  if (sent.event === 'ended') {
    return undefined;
  }
  return sent.event === 'exited' ? { ...sent, exit: readExit(sent.exit) } : sent;
}

export interface SentLogLine {
  readonly level: Level;
  readonly component: Component;
  readonly text: string;
}

/** What an engine counts; the daemon shows the keeper's numbers as its own. */
export const engineCounters = [
  'processSpawns',
  'processExits',
  'reattaches',
  'streamBytes',
  'stdinBytes',
  'paced',
  'pacedMs',
  'stdinQueueFull',
  'stdinRefusedBytes',
  'replayEvictedFrames',
  'spooledBytes',
  'spoolFailures',
  'memoryBudgetReached',
  'memoryBudgetFrameBytes',
  'memoryBudgetRefused',
  'sessionsRefused',
  'treeProcessesEnded',
] as const satisfies readonly (keyof Counters)[];
