/**
 * What Holdfast needs from an operating system, in the engine's words. `src/` knows only this file;
 * `platform/posix` and `platform/win32` keep its promises, and `test/platform/*.contract.ts` holds both to them.
 */
import type { Socket } from 'node:net';
import type { ChildMarkers, Marks } from './child-markers.ts';
import type { FileOperations } from './files.ts';
import type { HostCleaning } from './host-cleaning.ts';
import type { ServiceManager } from './service-manager.ts';

export interface Platform {
  readonly name: 'posix' | 'win32';
  /** Names as the wire prints them (spec wire.md §7.2). */
  readonly os: 'linux' | 'darwin' | 'windows';
  readonly arch: string;
  readonly processes: Processes;
  readonly transport: Transport;
  readonly runDirectories: RunDirectories;
  readonly host: Host;
  readonly paths: Paths;
  readonly files: FileOperations;
  readonly git: GitHost;
  /** `undefined` where children never outlive their daemon (Windows). */
  readonly childMarkers: ChildMarkers | undefined;
  /** Loads what the host cleaner needs; `undefined` where hosts are not cleaned: macOS, Windows. */
  readonly hostCleaning: (() => Promise<HostCleaning>) | undefined;
}

// ---------------------------------------------------------------- processes

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
  /** 0–255, Windows 32 bits unsigned; -1 for a child that a signal ended. */
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
  readonly env: ReadonlyArray<readonly [name: string, value: string]>;
  /** Largest piece of output handed over at once, in bytes. */
  readonly maxChunkBytes: number;
  /** Where output is read into, `maxChunkBytes` long; `undefined`: a buffer of the adapter's. Several children may share it. */
  readonly readBuffer?: Buffer | undefined;
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
  /** Marks the child as one of this run directory (platform/child-markers.ts); its argv[0] is then the program's path. */
  readonly markedFor?: string;
  /**
   * One read of the child's output. `bytes` is valid during the call only.
   * Answer `false` to stop reading this stream until `Child.resume`.
   */
  onOutput(stream: OutputName, bytes: Buffer): boolean;
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
  /** What could not be had for this child, for the log (Windows: no job object for it). */
  readonly warning?: string | undefined;
  /** Of a child that was started with `markedFor`. */
  readonly marks?: Marks | undefined;
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
}

export interface Processes {
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
   * The tests `spawn` makes before it starts anything.
   * @throws SystemCallError as `spawn` would
   */
  check(request: Pick<SpawnRequest, 'command' | 'args' | 'cwd' | 'env'>): void;
  /** `undefined` when there is no such process. A zombie counts as gone, a thread id as no process. */
  identify(pid: number): ProcessIdentity | undefined;
  /** argv of a running process; `undefined` when gone or unreadable. */
  commandLine(pid: number): string[] | undefined;
  /** Signals a process that is no child of ours, only while its identity still matches. */
  signalIfSame(target: ProcessIdentity, name: SignalName): 'sent' | 'gone' | 'refused';
  /** Our own identity. */
  self(): ProcessIdentity;
}

// ---------------------------------------------------------------- transport

export interface Listener {
  /** Name a client connects to: the socket path, on Windows the pipe name. */
  readonly address: string;
  /** Whether the published path still leads to this listener (dev+inode of the socket; content of `rpc.pipe`). */
  leadsHere(): boolean;
  /** Stops accepting. Open connections live on. */
  close(): void;
  /** Removes what was published, only while it is still ours. */
  unpublish(): void;
}

export interface Transport {
  /** Whether ending our direction of a connection leaves the other one open (spec modes.md §9). */
  readonly halfClose: boolean;
  /** Whether every path can be an address of its own, also one outside a run directory (`-metrics-addr unix:<path>`). */
  readonly listensOnAnyPath: boolean;
  /** Names in a run directory that the transport of another OS has left there; a start removes them (spec platform.md §3). */
  readonly foreignNames: readonly string[];
  /**
   * Publishes an owner-only endpoint for `socketPath` and accepts on it.
   * Connections are half-open capable where the OS knows half-close; a peer of another user is refused.
   * @throws HostError whose message is the contract's bind failure (spec modes.md §5)
   */
  listen(socketPath: string, events: ListenerEvents): Promise<Listener>;
  /** @throws SystemCallError `dial …: <reason>` */
  dial(socketPath: string, options?: DialOptions): Promise<Socket>;
  /**
   * Gives the kernel as much as it takes at once, past the queue of the stream, which must be empty. Several times cheaper
   * than `Socket.write`. @returns how many bytes were taken; 0 also for a broken connection, which the next `Socket.write`
   * finds out. `undefined` where the OS has no such call.
   */
  readonly sendNow?: (socket: Socket, bytes: Buffer) => number;
  /**
   * Moves bytes between the standard streams and a connection that was dialled `paused`, as spec modes.md §9 has it, and
   * returns at the end of it; the thread does nothing else meanwhile. `false`: this OS or these streams cannot, nothing
   * was moved. `undefined` where the OS never can.
   */
  readonly relay?: (socket: Socket) => boolean;
}

export interface DialOptions {
  readonly timeoutMs?: number;
  /** Nothing is read from the connection until its `resume`. */
  readonly paused?: boolean;
}

export interface ListenerEvents {
  onConnection(socket: Socket): void;
  /** A peer that is not allowed; for the log. The connection is closed already. */
  onRefused(reason: string): void;
  onError(error: Error): void;
}

// ---------------------------------------------------------------- run directory

/** A file of the run directory that we wrote and may remove again, if it is still the very same file. */
export interface OwnedFile {
  readonly path: string;
  /** Removes it only while it is still ours. */
  remove(): void;
}

/** Content of `daemon.lock` (spec modes.md §7). */
export interface LockRecord {
  readonly pid: number;
  readonly role: string;
  readonly node?: string;
  readonly instanceId?: string;
  readonly startedAt?: number;
}

/** Held by one daemon of a run directory at a time; the OS drops it when the holder dies. */
export interface RunDirectoryLock {
  write(record: LockRecord): void;
  /** Truncates the record and lets go. The file stays. */
  release(): void;
  /** Lets go and leaves the record as it is, for those who only looked. */
  letGo(): void;
}

export type LockAttempt =
  | { readonly state: 'taken'; readonly lock: RunDirectoryLock }
  /** `record` is `undefined` when it cannot be read as one. */
  | { readonly state: 'held'; readonly record: LockRecord | undefined }
  | { readonly state: 'unsupported' | 'missing' | 'unreadable'; readonly reason: string };

/** The folder of the socket path, held open so that a swapped path cannot lead us astray. */
export interface RunDirectory {
  readonly path: string;
  /** Writes `name` whole or not at all (temporary file `<name>-*` beside it, then rename), mode 0600. */
  publish(name: string, content: Buffer): OwnedFile;
  /** Removes a file left by somebody else; a missing file is no failure. */
  removeLeftover(name: string): void;
  readText(name: string, maxBytes: number): string | undefined;
  /** Runs `work` while no other daemon of this directory is inside its own `exclusively` (start and end of a daemon). */
  exclusively<T>(work: () => Promise<T> | T): Promise<T>;
  /** @param create `false`: only look, never make the file (spec modes.md §10) */
  tryLock(name: string, options: { readonly create: boolean }): LockAttempt;
  /** Calls back when an entry of the directory may have changed. Returns the stop function. */
  watch(onChange: () => void): () => void;
  close(): void;
}

export interface OpenedLog {
  readonly fd: number;
  /** Why the older file could not be renamed as asked and was unlinked instead; `undefined`: all went as asked. */
  readonly olderGone?: string | undefined;
}

export interface RunDirectories {
  /** Whether a start may ask for the lock and end a predecessor; else both live on, the later one published (spec platform.md §3). */
  readonly haveOneDaemon: boolean;
  /** Creates the folder with parents, 0700; an existing one keeps its mode. @throws HostError */
  create(path: string): void;
  /** @throws HostError when it is missing, no folder, or of another user */
  open(path: string): RunDirectory;
  /**
   * Exclusive-creates a log file, 0600, following no link; an older file is unlinked or renamed to `<path>.old` first.
   * Returns a descriptor, or the reason why the log is declined (spec modes.md §6 step 3).
   */
  openLog(path: string, rotate: 'unlink' | 'rename'): OpenedLog | { readonly declined: string };
}

// ---------------------------------------------------------------- host

export interface DetachRequest {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: ReadonlyArray<readonly [name: string, value: string]>;
  /** Descriptor for stdout and stderr; `undefined`: keep ours. */
  readonly logFd: number | undefined;
  /** Bytes the child reads from an inherited pipe until end of file; `undefined`: no such pipe. */
  readonly secret: Buffer | undefined;
  /** How the child learns the numbers of the inherited descriptors (or handles). */
  readonly statusVariable: string;
  readonly secretVariable: string;
}

export interface Detached {
  readonly pid: number;
  /** Notes for stderr, e.g. a start that had to go without breakaway. */
  readonly notes: readonly string[];
  /** Everything the child writes to its status pipe; ends when the child closed it or died. */
  readonly status: AsyncIterable<Buffer>;
  /** `exit status 3`, `signal: killed`; `undefined` while it lives. Non-blocking. */
  exitText(): string | undefined;
  /** Stops watching, so that the launcher can end. */
  release(): void;
}

/** Flags of `-serve` that not every OS can follow. */
export interface ServeRequest {
  readonly listenPipe: boolean;
  readonly keepChildren: boolean;
  /** Profile row `platform.windowsKeepChildren`. */
  readonly keepChildrenAllowed: boolean;
}

export interface Host {
  /** `HOME` (Windows: `USERPROFILE`), read at each call; `undefined` when unset or empty. */
  home(): string | undefined;
  /** That variable as a message names it: `$HOME`, `%userprofile%` (spec modes.md §4, install.md §1). */
  readonly homeVariable: string;
  /** Where musl keeps its loader; `undefined` where there is but one C library (spec install.md §7). */
  readonly muslFolder: string | undefined;
  /** Whom the end of a version run that hangs is meant for (spec install.md §6). */
  readonly hungRunReach: SignalReach;
  /** Whether the CPU time and memory of a process can be read without starting another one for it. */
  readonly tellsUsage: boolean;
  /** What starts programs for a user who has not logged in; `undefined` where there is nothing of that kind. */
  serviceManager(): Promise<ServiceManager | undefined>;
  /** Starts the daemon in a session of its own, out of reach of our terminal. @throws SystemCallError */
  detach(request: DetachRequest): Detached;
  /** In the detached child: writes one report to the inherited status pipe and closes it. */
  reportStatus(descriptor: string, report: string): void;
  /** In the detached child or from `-token-fd`: reads a descriptor to its end or first newline. @throws SystemCallError */
  readDescriptor(descriptor: string, maxBytes: number): Buffer;
  /**
   * Standard output and error of this process go to `fd` from now on, and `fd` itself is closed.
   * @returns `false` where that cannot be done; `fd` stays open then
   */
  redirectOutput(fd: number): boolean;
  /** Sets the soft open-files limit of ourselves and our children; `undefined` where the OS has no such thing. */
  limitOpenFiles(): number | undefined;
  /**
   * A variable as the user's login shell has it (spec platform.md §2); `''` when it has none. Resolves to `undefined`
   * where there is no such thing as a login shell.
   * @throws HostError with the reason on failure or after `timeoutMs`
   */
  loginShellVariable(options: {
    readonly name: string;
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
  }): Promise<string | undefined>;
  /** Whether two environment variable names are the same one to this OS. */
  sameVariable(a: string, b: string): boolean;
  /** Ends this process at once, as a crash would: nothing is flushed or removed (failpoints). */
  die(): never;
  /** Whether `-keep-children` works here; `allowed`: profile row `platform.windowsKeepChildren`, POSIX always can. */
  keepsChildren(allowed: boolean): boolean;
  /** What was asked for, or is usual, and not to be had on this host; for the log (spec platform.md §3, process.md §11.12). */
  serveWarnings(asked: ServeRequest): readonly string[];
  /** Gives memory back that an idle process does not need; takes some milliseconds. `undefined` where there is no way to. */
  readonly trimMemory?: () => void;
  /** Calls back once per kind of request to end; ignores hang-ups and broken pipes from now on. */
  onEndRequest(callback: (reason: 'terminated' | 'interrupt') => void): void;
}

// ---------------------------------------------------------------- paths and texts

export interface Paths {
  /** Expands `~` and `~/…` as spec files.md §2 says; everything else is returned untouched. */
  expandTilde(path: string): string;
  /** Lexical clean of spec files.md §2. */
  clean(path: string): string;
  /** Folder of a path, lexically. */
  directoryOf(path: string): string;
  readonly separator: string;
  /** How the file name of a program that can be run ends: `.exe`, or nothing. */
  readonly programSuffix: string;
  /** Windows: with a drive and a root, or `\\server\share`; `\dir` and `C:dir` are relative. */
  isAbsolute(path: string): boolean;
  /** Whether a cleaned path is a root: `/`; Windows: `C:\`, `\\server\share\`. */
  isRoot(cleaned: string): boolean;
  /** Whether the cleaned `path` is `folder` or below it, as text, whole components; Windows folds case. */
  isWithin(path: string, folder: string): boolean;
  /** The OS's words for an error of Node's or of ours (spec files.md §2), e.g. `no such file or directory`. */
  reason(error: unknown): string;
  /** `reason` for an errno name such as `ENOENT`. */
  reasonForCode(code: string): string;
}

// ---------------------------------------------------------------- git

/** What `git.*` must know about the OS (spec git.md §2.2, §6.3, §10). */
export interface GitHost {
  /** What git reads as an empty file where it wants a path: `/dev/null`, `NUL`. */
  readonly nullDevice: string;
  /** Whether worktrees outside their repository are served, which needs owners and modes that can be judged. */
  readonly externalRoots: boolean;
  /** Whether `.git` file and registration are compared after a worktree was added. */
  readonly registrationTests: boolean;
  /** A cleaned path in the spelling in which two names of one file are equal texts; the OS may fold case. */
  comparable(path: string): string;
  /** Whether the OS reads a component of the path as another name (trailing dot or space, colon). */
  isMisread(path: string): boolean;
  /** Our numeric user; -1 where there is no such thing. */
  userId(): number;
  /** Whether the group is the user's own, with no other member. */
  isPrivateGroup(gid: number): boolean;
}
