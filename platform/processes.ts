/** Starting, watching and identifying processes. Part of `Platform`. */
import type { ChildMarks } from './child-markers.ts';
import type { Variable } from './started-with.ts';

/** One OS process. The OS reuses pids, so a pid never travels without its start time (design decision 8). */
export interface ProcessIdentity {
  readonly pid: number;
  /** Creation time as the OS counts it (Linux: clock ticks since boot), verbatim. Compare for equality only. */
  readonly start: string;
  /** Boot and pid namespace the two values above belong to; `undefined` when the OS does not tell. */
  readonly node: string | undefined;
}

export type SignalName = 'TERM' | 'KILL' | 'INT' | 'HUP';

/** Whom a signal is meant for: the direct child, or everything it started that is still in its group (job). */
export type SignalReach = 'child' | 'tree';

export interface ExitStatus {
  /** 0-255, Windows 32 bits unsigned; -1 for a child that a signal ended. */
  readonly code: number;
  /** SIG-prefixed name of the signal that ended it; always `undefined` on Windows. */
  readonly signal: string | undefined;
}

export type OutputName = 'stdout' | 'stderr';

export interface SpawnRequest {
  /** argv[0] as the client sent it; a name without separator is looked up in the daemon's own PATH. */
  readonly command: string;
  readonly args: readonly string[];
  /** Already tilde-expanded; `undefined`: the daemon's own working directory. */
  readonly cwd: string | undefined;
  /** In the order the child is to see it. The adapter sorts where its OS wants that (Windows). */
  readonly env: readonly Variable[];
  /** One more, without NUL, behind those of `env`: what is made of that list is kept as long as the list, and many children may share it. */
  readonly lastVariable?: Variable | undefined;
  /** Largest piece of output handed over at once, in bytes. */
  readonly maxChunkBytes: number;
  /**
   * Where the next piece of output is read into, asked before each read, at most `maxChunkBytes` long; several children may
   * share a buffer. `undefined`: the adapter's own.
   */
  readonly readBuffer?: (() => Buffer) | undefined;
  /**
   * `nullDevice`: the three standard streams are the null device, so nothing the child leaves behind can hold a pipe of ours.
   * `onOutput` and `onOutputEnd` are never called then, and input is dropped.
   */
  readonly streams?: 'pipes' | 'nullDevice';
  /**
   * What TERM, INT and HUP reach where the OS has no signals (profile row `platform.windowsSignalScope`): the whole tree
   * or the direct child only. POSIX has its own rule and ignores it.
   */
  readonly gentleScope?: SignalReach;
  /** The child is to live on when we end (`-keep-children`); Windows then makes the job without kill-on-close. */
  readonly outlivesUs?: boolean;
  /** The program that `command` is to start in its turn, one of `args`; the child may become it. Named in its record. */
  readonly handedProgram?: string | undefined;
  /**
   * What the child leaves behind is to stay within reach of `Child.endLeft` until `Child.letGo`. Where the OS has no such
   * hold on it (POSIX: it is found by its marks instead) this is ignored.
   */
  readonly keepsReach?: boolean;
  /** ChildMarks the child as one of this run directory (platform/child-markers.ts); its argv[0] is then the program's path. */
  readonly markedFor?: string | undefined;
  /**
   * One read of the child's output. `bytes` is valid during the call only; `isFull` when they fill the buffer, so that more is
   * likely to be there. Answer `false` to stop reading this stream until `Child.resume`.
   */
  onOutput(stream: OutputName, bytes: Buffer, isFull: boolean): boolean;
  /** The last writer of the stream has closed it, or `Child.closeOutput` was called. Once per stream. */
  onOutputEnd(stream: OutputName): void;
  /** The OS process has ended; it may still be uncollected, so that its pid stays ours. Once. */
  onEnd(): void;
}

/** A child of ours, in a group (POSIX: session; Windows: job) of its own. */
export interface Child {
  readonly pid: number;
  /** OS creation time in seconds since the epoch, with fraction; 0 when the OS would not tell (spec process.md §3.7). */
  readonly startTime: number;
  /** The same as `ChildMarkers.startOf` tells it; empty: it has ended already. `undefined`: `startOf` is to be asked. */
  readonly start?: string | undefined;
  /** What could not be set up for this child, for the log (Windows: no job object). */
  readonly warning?: string | undefined;
  /** Of a child that was started with `markedFor`. */
  readonly marks?: ChildMarks | undefined;
  /**
   * Appends to the child's stdin without limit of its own. `done` runs when the bytes reached the pipe
   * or were dropped because the child closed its end or ended: no error is ever raised.
   */
  writeInput(bytes: Buffer, done: () => void): void;
  /** Bytes are dropped from now on and the child sees end of file. */
  closeInput(): void;
  resume(stream: OutputName): void;
  /** Stops reading both outputs for good; a writer that is left gets EPIPE. `onOutputEnd` follows for open streams. */
  closeOutput(): void;
  /**
   * Sends a signal, guarded by "not yet collected", so a recycled pid is never hit.
   * Returns the OS's text when it could not be sent; a target that is gone is no failure.
   */
  signal(name: SignalName, reach: SignalReach): string | undefined;
  /** After `onEnd`: takes the exit status and gives the pid back to the OS. Later calls return the same status. */
  collect(): ExitStatus;
  /** Ends what an ended child that was started with `keepsReach` has left behind. */
  endLeft?(): void;
  /** After the end: nobody asks for what it has left any more. */
  letGo?(): void;
}

export interface Processes {
  /** Whether INT and TERM ask a process to end, which can do so in its own way; else they end it at once (Windows). */
  readonly signalsAsk: boolean;
  /**
   * Starts a child with three pipes.
   * @throws SystemCallError with the contract's text (spec process.md §3.4); nothing is left behind.
   */
  spawn(request: SpawnRequest): Child;
  /**
   * The same for one that may come among many: while they are being started the thread can do something else. A promise
   * only then, and only where the OS makes the starter wait for the new program. Nothing is told before it resolves.
   */
  spawnAmongMany(request: SpawnRequest): Child | Promise<Child>;
  /**
   * Tests that come before a start: of the folder, then one look at the program, as it was sent and not joined with the
   * folder; a bare name is looked up as `spawn` does.
   * @param program `isThere`: whatever is there passes, a folder too. `isExecutable`: no folder, and executable for us
   * @throws SystemCallError as `spawn` would
   */
  check(request: Pick<SpawnRequest, 'command' | 'cwd'>, program: 'isThere' | 'isExecutable'): void;
  /** `undefined` when there is no such process. A zombie counts as gone, a thread id as no process. */
  identify(pid: number): ProcessIdentity | undefined;
  /** Creation time in seconds since the epoch; 0 when the OS would not tell. */
  startSeconds(pid: number): number;
  /** argv of a running process; `undefined` when gone or unreadable. */
  commandLine(pid: number): string[] | undefined;
  /** Signals a process that is no child of ours, only while its identity still matches. */
  signalIfSame(target: ProcessIdentity, name: SignalName): 'sent' | 'gone' | 'refused';
  /** Our own identity. */
  self(): ProcessIdentity;
  /** Our own creation time in seconds since the epoch, as `Child.startTime` has it. */
  ownStartSeconds(): number;
}
