/**
 * How children are marked, recorded and found again after their daemon has died (spec platform.md §2 "Child markers,
 * records, reap"). Windows has none of this: there the jobs of a daemon end with it.
 */
import type { ProcessIdentity, SignalName } from './processes.ts';

/** The two variables a marked child has, last in its environment. */
export const runDirVariable = 'CLAUDE_SSH_RUN_DIR';
export const childVariable = 'CLAUDE_SSH_CHILD';
/** The mark of a session, which its child and whatever that starts have in their environment. */
export const sessionMarkVariable = 'HOLDFAST_SESSION';

/** How a marked child shows itself, for its record file. */
export interface ChildMarks {
  /** Its argv[0]. */
  readonly argv0: string;
  /**
   * A file that stands among its words: a script, whose argv[0] is its interpreter's, or what a launcher was handed, which
   * the process may become.
   */
  readonly program?: string;
  /** Why it has only the mark of its run directory, for the log; `undefined`: it has both. */
  readonly unmarkedBecause: string | undefined;
}

/** What a live process shows to those who must decide whether it is the child of a dead daemon. */
export interface ProcessEvidence {
  readonly identity: ProcessIdentity;
  /** Its creation time as the record files have it. */
  readonly start: string;
  /** Real user id. */
  readonly user: number;
  readonly leadsGroup: boolean;
  /** argv; empty when unreadable. */
  readonly words: readonly string[];
  /** `undefined`: the environment has no such variable, or cannot be read. */
  variable(name: string): string | undefined;
  /** Node's error of reading the environment, where there is one; `undefined`: it can be read. */
  readonly environmentError?: () => unknown;
}

/** The process group of one process, held so that signals reach this very group, whatever happens to the number. */
export interface HeldGroup {
  /** `undefined`: its leader is gone (a zombie is, a thread id never was one). */
  leader(): ProcessEvidence | undefined;
  /**
   * Signals every member.
   * @param isOurs asked once more, right before the signal, where the OS can only signal by number
   */
  signal(name: SignalName, isOurs: (leader: ProcessEvidence) => boolean): 'sent' | 'gone' | 'refused';
  release(): void;
}

/** Small files in a folder of the run directory, held open so that a swapped path cannot lead us astray. */
export interface RecordFolder {
  /** Writes `name` whole or not at all, 0600; `temporary` is its name until then. @throws Node's error */
  write(name: string, temporary: string, content: Buffer): void;
  /** A missing file is no failure. @returns Node's error; `undefined`: the name is free now */
  remove(name: string): unknown;
  /** In directory order. */
  names(): Iterable<string>;
  /** `undefined`: unreadable, no regular file, larger, or of another user. */
  read(name: string, maxBytes: number): string | undefined;
  close(): void;
}

export interface ChildMarkers {
  /** Whose processes may be ended: our own user id. */
  readonly user: number;
  /** This machine, as the record files name it; empty when it has no name that lasts. */
  readonly host: string;
  /** Creation time of a process as the record files have it; `undefined` when there is no such process. */
  startOf(pid: number): string | undefined;
  holdGroup(pid: number): HeldGroup;
  /** What a process shows of itself now; `undefined`: it is gone. */
  evidenceOf(pid: number): ProcessEvidence | undefined;
  /** The processes of our own user, us left out, whose environment has the variable with this value. */
  carrying(name: string, value: string): Promise<ProcessEvidence[]>;
  /** Numbers of the process groups that have a live member. */
  livingGroups(): ReadonlySet<number>;
  /**
   * @param create makes a missing folder, 0700
   * @throws HostError for a folder that another user owns or can write, or Node's error
   */
  openRecords(
    runDirectory: string,
    name: string,
    options: { readonly create: boolean },
  ): RecordFolder | 'missing' | 'notADirectory';
}
