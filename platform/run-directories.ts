/** The folder of the socket path: its files, its lock, its log. Part of `Platform`. */
import type { LockAttempt } from './lock.ts';

/** A file of the run directory that we wrote and may remove again, if it is still the very same file. */
export interface OwnedFile {
  readonly path: string;
  /** Removes it only while it is still ours. */
  remove(): void;
}

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
   * A new file in this folder, for its owner only, that has no name: it is gone with its last descriptor, however the process ends.
   * @returns its descriptor. @throws whatever the system says
   */
  openNameless(folder: string): number;
  /**
   * Exclusive-creates a log file, 0600, following no link; an older file is unlinked or renamed to `<path>.old` first.
   * Returns a descriptor, or the reason why the log is declined (spec modes.md §6 step 3).
   */
  openLog(path: string, rotate: 'unlink' | 'rename'): OpenedLog | { readonly declined: string };
}
