/**
 * The engine: every session of a daemon by its id (spec process.md). Doors call it and know nothing else about sessions.
 *
 * Requests for one id take effect in the order of the calls; later ones wait for a spawn of the id that is on its way, also
 * when another client asks: one whose connection broke meanwhile is not to hear that there is no such process, and start it
 * twice. Different ids never wait for each other.
 *
 * A call returns its value at once when nothing must be waited for, so that a burst of requests costs no turn of the loop.
 * Failures are `EngineFailure`, `LauncherFailure`, or `SystemCallError` with the operating system's words; all of them also
 * through a promise.
 */
import type { SignalName } from '../../platform/processes.ts';
import type { Mark } from './mark.ts';

export type MaybePromise<T> = T | Promise<T>;

export interface SessionEngine {
  /** Starts a process with `reader` as its receiver (spec process.md §3). */
  spawn(request: SpawnRequest, reader: Reader): MaybePromise<Opened>;
  /**
   * Gives bytes to the child (spec process.md §5).
   * @param gone aborted when whoever asks has gone: bytes that still wait for room then are let go and not taken
   * @param place all of them are to go there, or none are taken
   */
  input(
    id: string,
    bytes: Buffer,
    offset: bigint | undefined,
    gone?: AbortSignal,
    place?: InputPlace,
  ): MaybePromise<InputResult>;
  /** End of file for the child after exactly `offset` bytes (spec extensions.md §2.3). */
  closeInput(id: string, offset: bigint): MaybePromise<InputResult>;
  /**
   * Signals or ends a process (spec process.md §6, §7; extensions.md "release").
   * @param reader who asks: when it reads this process, the result says where in its stream the reply belongs
   */
  end(id: string, how: EndRequest, reader?: Reader): MaybePromise<EndResult>;
  /**
   * Lets `reader` read frames from `fromSeq + 1` on (spec process.md §8; extensions.md "observe"). A receiver replaces the
   * one before it; an observer disturbs nobody. `undefined`: no such process.
   * @param fromSeq a number beyond every frame asks for none of those that were written
   * @param more `activity`: the result is to tell what came and went last
   */
  attach(
    id: string,
    fromSeq: bigint,
    reader: Reader,
    role: ReaderRole,
    more?: 'activity',
  ): MaybePromise<Opened | undefined>;
  /** Ends the observing of one process. `false`: it was not observed by this reader. */
  unobserve(id: string, reader: Reader): MaybePromise<boolean>;
  /** Every session there is, oldest first, also those that can only be replayed any more. */
  sessions(): MaybePromise<readonly SessionInfo[]>;
  /**
   * Tells what happens from now on. What was told before a result of `sessions` is part of that result; what is not part of
   * it is told after whoever asked has it, so an engine that answers with a promise waits until its handlers have run.
   */
  watch(listener: SessionListener): Disposable;
  /** Processes that have not shown their exit frame. */
  readonly runningCount: number;
  /** Nothing is started from now on; then every running process is ended, or left alone. A second call does nothing. */
  close(children: 'end' | 'keep'): Promise<ClosedEngine>;
}

export interface SpawnRequest {
  readonly id: string;
  readonly command: string;
  /** argv from 1 on. */
  readonly args: readonly string[];
  /** As sent; `undefined` or empty: the daemon's own working directory. */
  readonly cwd: string | undefined;
  /** Each name once, in the order of the request. */
  readonly env: readonly (readonly [name: string, value: string])[] | undefined;
  /** The child is not to get the login shell's SSH agent. */
  readonly withoutShellAgent: boolean;
  /** Attach from `fromSeq` instead when the id is known, running or ended (spec extensions.md §3). */
  readonly ifAbsent: { readonly fromSeq: bigint } | undefined;
  /** What the starter calls itself. */
  readonly door: string | undefined;
  /** Words to start `command` through, as sent; `undefined`: it is started itself (spec generation-n2.md §4). */
  readonly launcher: readonly string[] | undefined;
}

export type ReaderRole = 'receiver' | 'observer';

export interface Opened {
  /** Only `spawn` with `ifAbsent`: the process was there already, and this is a reattach. */
  readonly existing: boolean;
  /** As the profile counts it (spec process.md §2). */
  readonly running: boolean;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly stdinApplied: number;
  readonly pid: number;
  /** OS creation time in seconds since the epoch. */
  readonly startTime: number;
  /** Only where it was asked for; `undefined` also from a keeper of an older release. */
  readonly activity?: Activity | undefined;
  /** Where the reply belongs: behind the replay and before the live frames. */
  readonly mark: Mark;
}

/** What came and went last at the time of an attach. Times are milliseconds since the epoch. */
export type Activity = {
  /** Of the last output; `undefined`: there was none. */
  readonly outputAt: number | undefined;
  /** The newest last; of a process that has ended none. */
  readonly input: readonly InputPiece[];
  /** Bytes that went aside; `undefined` from a keeper of an older release. */
  readonly aside?: number | undefined;
};

/** What one request has put into the input of a process. */
export type InputPiece = {
  /** The last frame of output by then. */
  readonly seq: number;
  /** Place of its first byte. */
  readonly offset: number;
  /** Only of bytes that went aside: how many had before. They take no place among the others. */
  readonly aside?: number;
  readonly at: number;
  readonly length: number;
  /** All of it, or its beginning and its end; base64. */
  readonly kept: readonly string[];
};

/**
 * Where input of all or nothing goes; always with an `offset`, which must be the number of bytes accepted so far (docs/extensions.md).
 * `exact`: there. `aside`: behind them without being counted among them, as the next of so many bytes that went aside already.
 */
export type InputPlace = 'exact' | { readonly aside: bigint };

export interface InputResult {
  /** Bytes accepted so far. */
  readonly applied: number;
  readonly duplicate: boolean;
}

export type EndRequest =
  | { readonly how: 'signal'; readonly signal: SignalName }
  /** @property graceMs as sent; zero, less or `undefined`: the default */
  | {
      readonly how: 'signalAndWait';
      readonly signal: SignalName;
      readonly graceMs: bigint | undefined;
      readonly escalate: boolean;
    }
  /** TERM, then the group's KILL; the process is forgotten with its frames. */
  | {
      readonly how: 'release';
      readonly graceMs: bigint | undefined;
      /** Who asks; missing from an older daemon: an operator. */
      readonly by?: 'operator' | 'detached-ttl';
    };

/** `supersede`: a later spawn of the same agent session, or of the same id. */
export type EndAsker = 'client' | 'operator' | 'detached-ttl' | 'supersede' | 'shutdown';

/** Who has asked for the end of a process, for those who look for the reason of an end (`holdfast why`). */
export interface EndAsked {
  readonly by: EndAsker;
  readonly how: 'kill' | 'killAndWait' | 'release' | 'spawn' | 'shutdown';
  /** Of the request: a process that outlives it may get KILL besides. */
  readonly signal: SignalName;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** When its whole group got KILL, because it had outlived the signal. */
  readonly escalatedAt?: number | undefined;
}

export interface EndResult {
  readonly found: boolean;
  /** The exit frame is out. */
  readonly died: boolean;
  readonly alreadyExited: boolean;
  /** The whole group was killed because the process outlived the signal. */
  readonly escalated: boolean;
  /** Where the reply belongs, when the asker reads this process: behind the exit frame. */
  readonly mark: Mark | undefined;
}

export type SessionState =
  | 'running'
  /** The OS process has ended, somebody still holds its output open. */
  | 'draining'
  /** The exit frame is out. */
  | 'exited';

/** Times are milliseconds since the epoch. */
export interface SessionInfo {
  readonly id: string;
  readonly pid: number;
  readonly startTime: number;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string | undefined;
  readonly state: SessionState;
  readonly spawnedAt: number;
  readonly exit: SessionExit | undefined;
  readonly attached: boolean;
  readonly observers: number;
  readonly sinceAttachChange: number;
  /** The exit frame never went to a receiver. */
  readonly unseenExit: boolean;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Raw bytes of output, ever. */
  readonly outBytes: number;
  readonly errBytes: number;
  /** Bytes accepted for stdin, and those of them that the child has not taken. */
  readonly inBytes: number;
  readonly stdinQueued: number;
  readonly stdinClosed: boolean;
  /** Bytes of frames kept for replays in memory. */
  readonly windowBytes: number;
  /** The same on disk. */
  readonly spoolBytes: number;
  readonly paced: boolean;
  readonly door: string | undefined;
  /** The last request for its end; missing: there was none. */
  readonly endAsked?: EndAsked | undefined;
  /** Its id belongs to a later process by now; requests do not reach this one. */
  readonly replaced: boolean;
}

export interface SessionExit {
  readonly at: number;
  readonly code: number;
  readonly signal: string | undefined;
  readonly killedBy: 'client' | 'shutdown' | undefined;
}

export interface ClosedEngine {
  /** Process groups that were killed. */
  readonly killed: number;
  /** Processes that were left running. */
  readonly kept: number;
}

/** The process that holds the sessions of a durable daemon. */
export interface KeeperFacts {
  readonly pid: number;
  /** OS creation time in seconds since the epoch. */
  readonly startTime: number;
  /** Its release, and the version of the channel to it. */
  readonly version: string;
  readonly channel: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

// ---- readers

/** What a connection does for the streams it reads. */
export interface Reader {
  /** The stream is this reader's from now on, until it is replaced, over, or left. */
  attached(stream: FrameStream): void;
  /**
   * There is something to take; it is fetched when the client takes bytes.
   * @param more whether more is about to come in this turn of the loop
   */
  ready(stream: FrameStream, more: boolean): void;
  /** A receiver fell out of the window: frame `seq` is gone before it was sent. */
  fellBehind(stream: FrameStream, seq: number): void;
  /** An observer has missed frames: the next live thing it takes is the gap. For readers that hold frames ahead of their client. */
  missed?(stream: FrameStream): void;
  /** Another reader has become the receiver. What was promised to this one still comes. */
  replaced(stream: FrameStream): void;
  /** The stream is over at once: its id was used again. */
  over(stream: FrameStream): void;
  /** The place of this reply will never be reached, because its stream has ended: it goes out as it is. */
  unplaced(reply: string): void;
  /** The engine has lost touch with the process, which may live on: the client is to connect again and reattach. */
  lost(stream: FrameStream): void;
  /** A number that changes whenever the client takes bytes, whatever they are; equal ones mean that it took none. */
  progress(): number;
  /** It takes frames ahead of its client, and tells by `FrameStream.confirm` which of them the client has taken. */
  readonly confirms?: boolean;
}

/** Frames and marks of one process for one reader, in one order. */
export interface FrameStream {
  readonly processId: string;
  readonly role: ReaderRole;
  /** The next thing in order; `undefined` when there is nothing now. `Reader.ready` tells when there may be something. */
  take(maxBytes: number): StreamItem | undefined;
  /** Bytes of a promised replay that were not taken. */
  readonly promisedBytes: number;
  /** Whether promised frames or replies are still to be taken. */
  readonly owes: boolean;
  /** Whether nothing will come any more. */
  readonly done: boolean;
  /** What was promised still comes, nothing after it. */
  stopLive(): void;
  /** The reader wants no more of this process. */
  leave(): void;
  /** Of a reader that `confirms`: its client has taken every frame up to this one. */
  confirm(lastSeq: number): void;
}

export type StreamItem =
  | Frames
  /** The reply of a request, in its place. */
  | { readonly kind: 'reply'; readonly reply: string }
  /** Frames an observer will not see, because they fell out of the window before it took them. */
  | { readonly kind: 'gap'; readonly from: number; readonly to: number };

/** Whole frames in one piece of memory. `release` must be called once they are sent. */
export interface Frames {
  readonly kind: 'frames';
  readonly bytes: Buffer;
  /** seq of the first and the last frame in it. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Where the bytes lie in memory that another process reads too; `undefined`: they are this process's own. */
  readonly sharedAt?: number | undefined;
  release(): void;
}

// ---- events

export type SessionListener = (event: SessionEvent) => void;

/** `at`: milliseconds since the epoch. */
export type SessionEvent = {
  readonly id: string;
  readonly pid: number;
  readonly at: number;
  /** Requests for its id do not reach it any more: `forgotten` was told, before the `spawned` of the process that has the id. */
  readonly replaced: boolean;
} & (
  | {
      readonly event:
        | 'spawned'
        | 'attached'
        | 'detached'
        | 'forgotten'
        | 'paced'
        | 'resumed'
        | 'stdinClosed'
        | 'released';
    }
  | { readonly event: 'exited'; readonly exit: SessionExit }
);
