/** The machine and the user around us, and what this process asks of them for itself. Part of `Platform`. */
import type { Detached, DetachRequest } from './detach.ts';
import type { Home } from './home.ts';
import type { HostFacts } from './host-facts.ts';
import type { SignalReach } from './processes.ts';
import type { ServiceKind, ServiceManager } from './service-manager.ts';
import type { Variable } from './started-with.ts';

/** Flags of `-serve` that not every OS can follow. */
export interface ServeRequest {
  readonly listenPipe: boolean;
  readonly keepChildren: boolean;
  /** Profile row `platform.windowsKeepChildren`. */
  readonly keepChildrenAllowed: boolean;
}

/** A program to take the place of this one. */
export interface Successor {
  readonly file: string;
  /** The name it is called by. */
  readonly argv0: string;
  readonly args: readonly string[];
  readonly env: readonly Variable[];
  /** Descriptors that it inherits beside the standard ones; a number that is not open is left alone. */
  readonly descriptors: readonly number[];
}

export interface Host extends Home {
  /** Where musl keeps its loader; `undefined` where there is but one C library (spec install.md §7). */
  readonly muslFolder: string | undefined;
  /** Whom the end of a version run that hangs is meant for (spec install.md §6). */
  readonly hungRunReach: SignalReach;
  /**
   * Where the administrator of a host keeps the settings of the agent CLI; `undefined` where they name no launcher, and none
   * can be applied: Windows (spec generation-n2.md §3.2, §4).
   */
  readonly managedSettingsFolder: string | undefined;
  /** For the log: why callers in a sandbox are served like others (spec generation-n2.md §7). */
  readonly noPeerCheck: string;
  /** Whether the CPU time and memory of a process can be read without starting another one for it. */
  readonly tellsUsage: boolean;
  /**
   * What tells this machine from its clones, with the system in front: `linux:<machine-id>`, `win32:<MachineGuid>`; empty
   * where nothing does (macOS). Spec mesh.md §3.3.
   */
  hostId(): string;
  /** Whether the files of this host say that it is a container (spec mesh.md §3.4). */
  isContainer(): boolean;
  /** Whether a signal asks a process to end; elsewhere it ends it at once, with nothing tidied up. */
  readonly signalsAreRequests: boolean;
  /** What somebody who looks for faults of this host must know. */
  facts(): Promise<HostFacts>;
  /** What starts programs for a user who has not logged in; `undefined` where there is nothing of that kind. */
  serviceManager(kind: ServiceKind): Promise<ServiceManager | undefined>;
  /** Starts the daemon in a session of its own, out of reach of our terminal. @throws SystemCallError */
  detach(request: DetachRequest): Detached;
  /**
   * How a process that is to outlive the login is started from here: the words that go before it, and what to tell the user
   * where there is no way out.
   */
  leaveLogin(): Promise<{ readonly through: readonly string[]; readonly warning: string | undefined }>;
  /** In the detached child: writes one report to the inherited status pipe and closes it. */
  reportStatus(descriptor: string, report: string): void;
  /** In the detached child or from `-token-fd`: reads a descriptor to its end or first newline. @throws SystemCallError */
  readDescriptor(descriptor: string, maxBytes: number): Buffer;
  /**
   * Standard output and error of this process go to `fd` from now on, and `fd` itself is closed.
   * @returns `false` where that cannot be done; `fd` stays open then
   */
  redirectOutput(fd: number): boolean;
  /** Bytes of memory this process may use: those of the machine, or less where it is confined (cgroup). */
  memoryLimit(): number;
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
  /** Resolves when no login shell that was told to end, by its limit or its signal, can go on: half a second at most. */
  loginShellsEnded(): Promise<void>;
  /**
   * For names and ids that nobody is to guess.
   * @param bytes 256 at most
   * @returns two hexadecimal digits for each byte
   */
  randomHex(bytes: number): string;
  /** Names of environment variables with equal keys are the same variable to this OS. */
  variableKey(name: string): string;
  /** From now on this process ends, as by TERM, when its parent with this pid does; nothing where the OS cannot do that. */
  endWithParent(pid: number): void;
  /** Whether `-keep-children` works here; `allowed`: profile row `platform.windowsKeepChildren`, POSIX always can. */
  keepsChildren(allowed: boolean): boolean;
  /** For the log: what was asked for or is usual and this host does not offer (spec platform.md §3, process.md §11.12). */
  serveWarnings(asked: ServeRequest): readonly string[];
  /** Gives memory back that an idle process does not need; takes some milliseconds. `undefined` where there is no way to. */
  readonly trimMemory?: () => void;
  /**
   * Ends this process with what it has compiled kept, and waits for nothing else. Everything it wanted to write is written
   * by then.
   */
  leave(exitCode: number): never;
  /**
   * Puts another program in the place of this one: same process, same standard streams. Where the OS has no such call, it
   * runs beside us, and its exit code is returned when it has ended.
   * @throws SystemCallError
   */
  become(successor: Successor): number;
  /** Calls back once per kind of request to end; ignores hang-ups and broken pipes from now on. */
  onEndRequest(callback: (reason: 'terminated' | 'interrupt') => void): void;
}
