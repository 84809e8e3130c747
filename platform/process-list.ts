/** Every process of the host in one look, for those who show them. Part of `ClientPlatform`; signals go through `Processes`. */
import type { ProcessIdentity } from './processes.ts';

export interface ListedProcess {
  /** As `Processes.identify` has it. */
  readonly identity: ProcessIdentity;
  readonly parent: number;
  /** Process group; 0 where there is no such thing (Windows). */
  readonly group: number;
  /** Effective user id; -1 where users have no numbers (Windows). */
  readonly user: number;
  /** When it was created, in seconds since the epoch. */
  readonly startSeconds: number;
  /** User and system time it has taken so far. */
  readonly cpuSeconds: number;
  /** Resident memory. */
  readonly memoryBytes: number;
  /** argv, or the name of the program where that is all that can be read. Read when it is asked for first. */
  words(): readonly string[];
  /** A variable of its environment; `undefined` when there is none, or it cannot be read. Read when it is asked for. */
  variable(name: string): string | undefined;
}

export interface ProcessList {
  /** Our own user id; -1 where users have no numbers. */
  readonly user: number;
  /** Boot and pid namespace of this host, as `ProcessIdentity.node`. */
  readonly node: string | undefined;
  /**
   * Every process that can be seen, of whatever user; those that have ended and wait to be collected are left out.
   * @throws HostError where none can be seen: a root file system without `/proc`
   */
  all(): readonly ListedProcess[];
}
