/**
 * What the host cleaner must see of the host and may remove from it (spec platform.md §2 "Host cleaner"). Part of
 * `Platform`. To look is all that the calls on processes do: signals go through `Processes` and `ChildMarkers`.
 */

/** What a process shows beyond `ProcessEvidence`. Of a pid: whoever needs to know whose it is compares its identity too. */
export interface ProcessView {
  readonly parent: number;
  /** Since it was created, by a clock that nobody sets. */
  readonly ageMs: number;
  /** The file it runs, links resolved; also when that file has been removed since. `undefined`: unreadable. */
  readonly program: string | undefined;
  /** Whether standard input, output and error are three pipes without a name. */
  readonly hasThreePipes: boolean;
}

/** Who answers at a socket in a run directory. */
export type SocketAnswer =
  /** There is no socket, or nobody listens. */
  | { readonly state: 'nobody' }
  /** `pid`: of the process that made it listen; `undefined`: in another pid namespace, or not told. */
  | { readonly state: 'listener'; readonly pid: number | undefined }
  /** It could not be found out, so somebody may. */
  | { readonly state: 'unclear'; readonly reason: string };

/**
 * One run directory held open: whatever becomes of its path, the questions are answered for, and the removal reaches, this
 * very folder.
 */
export interface HeldRunDirectory {
  /** Entries, in directory order, as they were when it was opened. */
  readonly entries: readonly { readonly name: string; readonly isSocket: boolean }[];
  /** The latest change of the folder or of an entry of it, in milliseconds since the epoch; not deeper. */
  latestChangeMs(): Promise<number>;
  /** Whether `path` leads to this folder. */
  is(path: string): boolean;
  /** Connects to the socket `name` and lets go at once. */
  ask(name: string, timeoutMs: number): Promise<SocketAnswer>;
  /**
   * Keeps daemons from starting and ending in it, and its lock from being taken; both without waiting, until `release`.
   * @returns why that cannot be had, `undefined` when it is
   */
  claim(lockName: string): string | undefined;
  release(): void;
  /**
   * Gives it another name in its parent, as long as its name still leads to this very folder.
   * @throws SystemCallError
   */
  rename(to: string): Promise<void>;
  /** Removes it with all its content; no link is followed. @throws SystemCallError */
  remove(): Promise<void>;
  close(): void;
}

/** The folder with all run directories of a root, held open. */
export interface RunDirectoryFolder {
  names(): Promise<string[]>;
  /**
   * Holds one of them. A text says why not: a link or a file in its place, another user's.
   * `undefined`: there is nothing of that name any more.
   */
  hold(name: string): Promise<HeldRunDirectory | string | undefined>;
  close(): void;
}

export interface HostCleaning {
  /** Every process that can be seen, of whatever user. */
  pids(): number[];
  /** `undefined`: gone, or not ours to look at. */
  view(pid: number): ProcessView | undefined;
  /** `ProcessView.program` alone, which costs one call. */
  programOf(pid: number): string | undefined;
  /** `ProcessView.parent` alone, which costs one call; `undefined` for a zombie too. */
  parentOf(pid: number): number | undefined;
  /** Connections that others have opened to a socket of the process; `undefined`: cannot be told. */
  acceptedConnections(pid: number): number | undefined;
  /** @throws HostError when others could redirect or write it, or Node's error */
  openRunDirectories(path: string): RunDirectoryFolder;
}
