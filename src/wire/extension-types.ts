/** Results and pushed frames of `holdfast.*`, the same on both ends (spec extensions.md §2). */

/** A session as `holdfast.sessions` tells it. Times are milliseconds since the epoch, `startTime` is in seconds. */
export type SessionInfo = {
  readonly id: string;
  readonly pid: number;
  readonly startTime: number;
  readonly command: string;
  readonly args: readonly string[];
  /** As it was sent. */
  readonly cwd?: string | undefined;
  readonly state: 'running' | 'draining' | 'exited';
  readonly spawnedAt: number;
  readonly exitedAt?: number | undefined;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly killedBy?: string | undefined;
  /** Whether it has a receiver. */
  readonly attached: boolean;
  readonly observers: number;
  readonly sinceAttachChange: number;
  /** It has ended, and no receiver ever got the exit frame. */
  readonly unseenExit: boolean;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Bytes of output ever written, before base64. */
  readonly outBytes: number;
  readonly errBytes: number;
  readonly inBytes: number;
  readonly stdinQueued: number;
  readonly stdinClosed: boolean;
  readonly windowBytes: number;
  readonly spoolBytes: number;
  readonly paced: boolean;
  readonly door: string;
  /** Only with `ends`: the last request for its end. */
  readonly endAsked?: EndAsked | undefined;
};

/** Who has asked for the end of a session; times as in {@link SessionInfo}. */
export type EndAsked = {
  readonly by: 'client' | 'operator' | 'detached-ttl' | 'supersede' | 'shutdown';
  readonly how: 'kill' | 'killAndWait' | 'release' | 'spawn' | 'shutdown';
  readonly signal: string;
  readonly at: number;
  /** When its whole group got KILL, because it had outlived the signal. */
  readonly escalatedAt?: number | undefined;
};

/** What came and went last, as `holdfast.observe` with `activity` tells it. Times are milliseconds since the epoch. */
export type SessionActivity = {
  /** Absent: there was no output yet. */
  readonly outputAt?: number | undefined;
  /** What the last requests have put into the input of a running process, the newest last. */
  readonly input: readonly {
    /** The last frame of output by then. */
    readonly seq: number;
    /** Place of the first byte. */
    readonly offset: number;
    /** Only of bytes that went aside: how many had before. They take no place among the others. */
    readonly aside?: number | undefined;
    readonly at: number;
    readonly length: number;
    /** All of it, or its beginning and its end; base64. */
    readonly kept: readonly string[];
  }[];
  /** Bytes that went aside (`aside` of `process.stdin`); absent from an older release, which takes none. */
  readonly aside?: number | undefined;
};

/** What can happen to a session, as `holdfast.watch` tells it (docs/extensions.md). */
export type SessionEventName =
  | 'spawned'
  | 'attached'
  | 'detached'
  | 'exited'
  | 'forgotten'
  | 'paced'
  | 'resumed'
  | 'stdinClosed'
  | 'released';

/** A frame that `holdfast.watch` asked for. */
export type SessionEventFrame = {
  readonly type: 'holdfast';
  readonly event: SessionEventName;
  readonly processId: string;
  readonly at: number;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly killedBy?: string | undefined;
};

/** Result of `holdfast.describe`. */
export type DaemonDescription = {
  readonly version: string;
  readonly profile: string;
  readonly pid: number;
  readonly startTime: number;
  readonly instanceId: string;
  readonly startedAt: number;
  readonly os: string;
  readonly arch: string;
  readonly durable: boolean;
  readonly keeper?:
    | {
        readonly pid: number;
        readonly startTime: number;
        readonly version: string;
        readonly channel: number;
        readonly startedAt: number;
      }
    | undefined;
  /** Names without the prefix, sorted. */
  readonly extensions: readonly string[];
  readonly limits: {
    readonly lineBytes: number;
    readonly windowBytes: number;
    readonly spoolBytes: number;
    readonly maxSessions: number;
  };
};
