/** What a program says about a session and learns of it (spec client.md §2). */

/** How a session is followed. */
export interface ReadOptions {
  /** `throw` (default): the streams end with a `GapError` where frames are missing; `continue`: they go on behind them. */
  readonly onGap?: 'throw' | 'continue' | undefined;
  /** Most input that is kept until the daemon has it, in bytes; then writes wait. Default 16 MiB. */
  readonly inputBufferBytes?: number | undefined;
}

/** What is started, and how it is followed. */
export interface SpawnOptions extends ReadOptions {
  /** Name of the session; default a UUID. */
  readonly id?: string | undefined;
  /** The program: a path, or a name that is looked for on the daemon's PATH. No shell. */
  readonly command: string;
  /** Its arguments, each as it is. Default: none. */
  readonly args?: readonly string[] | undefined;
  /** Default: the daemon's own folder. A leading `~` is the home folder there. */
  readonly cwd?: string | undefined;
  /** Set over the daemon's environment; nothing can be unset. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Shown by `sessions()`; at most 32 characters. */
  readonly door?: string | undefined;
  /** Profile N+: the program gets no `SSH_AUTH_SOCK` of the user's shell. */
  readonly disableShellAgentSocket?: boolean | undefined;
  /** Profile N2: the program, with its arguments, through which `command` is started (`launcher.resolve`). */
  readonly launcher?: readonly string[] | undefined;
}

/** From where a session is followed, and how. */
export interface SessionOptions extends ReadOptions {
  /** Output begins behind this frame. Default: the first one that the daemon still has. */
  readonly fromSeq?: number | undefined;
  /** With `observe`: ask what came and went last; the session's `activity` tells it. */
  readonly activity?: boolean | undefined;
}

/** How a process ended. */
export interface Exit {
  /** -1 when a signal ended it (Windows: always the exit code). */
  readonly code: number;
  /** With its prefix, e.g. `SIGTERM`; `undefined` when no signal did, or the daemon cannot tell. */
  readonly signal: string | undefined;
  /** Who asked for the end: `client`, `shutdown`; `undefined` when nobody did. */
  readonly killedBy: string | undefined;
}

/** How a process is ended. */
export interface KillOptions {
  /** `TERM` (default), `KILL`, `INT` or `HUP`. */
  readonly signal?: string | undefined;
  /** How long to wait for the end before it is forced, in milliseconds; default 3000, at most 30 000. */
  readonly timeoutMs?: number | undefined;
  /** Whether to end the whole group by KILL after that; default `true`. */
  readonly escalate?: boolean | undefined;
}

/** What became of it. */
export interface KillOutcome {
  /** Whether the daemon knows the session. */
  readonly found: boolean;
  /** Whether it has ended within the time. */
  readonly died: boolean;
  /** It had ended before. */
  readonly alreadyExited?: boolean;
  /** It did not end by the signal and was ended by KILL. */
  readonly escalated?: boolean;
}
