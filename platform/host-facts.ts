/**
 * What somebody who looks for faults of a host must know of it. Everything here is read; nothing is started, changed or
 * waited for. Loaded on demand: `Host.facts`.
 */

/** A fault of a file or folder, and what mends it. */
export interface AccessFault {
  /** What is wrong, without the path: `writable by everyone`. */
  readonly what: string;
  /** Others could change it, or it is theirs; else they could only look. */
  readonly isChangeable: boolean;
  /** A command, or words. */
  readonly remedy: string;
  /** Mends it; `undefined`: that is not for us to do. @throws Node's error */
  readonly mend: (() => void) | undefined;
}

/** The file system that a path lies on, or would. */
export interface FileSystemFacts {
  /** As the system calls it: `ext4`, `nfs4`; empty where it does not tell. */
  readonly kind: string;
  readonly isNetwork: boolean;
  /** Programs on it cannot be run. */
  readonly noPrograms: boolean;
  readonly isReadOnly: boolean;
  /** For this user. */
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Files and folders that can still be made; `undefined` where there is no such limit. */
  readonly freeEntries: number | undefined;
}

/** How much of something there is at most, and how much of it is used. */
export interface Quota {
  readonly used: number;
  readonly limit: number;
}

export interface HostFacts {
  /** Longest path of a socket in bytes; `undefined` where its length does not matter. */
  readonly socketPathLimit: number | undefined;
  /** Why others could read or change what is meant for this user alone; `undefined`: nobody can, or there is nothing. */
  privacyFault(path: string): AccessFault | undefined;
  /** Of the nearest folder that is there. `undefined`: it cannot be told. */
  fileSystemOf(path: string): FileSystemFacts | undefined;
  /** Soft and hard limit of open files; `undefined` where there is none. */
  openFiles(): { readonly soft: number; readonly hard: number } | undefined;
  /** What the cgroup leaves to the processes of this user; `undefined` where nothing confines them. */
  confinement(): { readonly memory: Quota | undefined; readonly processes: Quota | undefined } | undefined;
  /** Why processes end with the last login of this user, and how to keep them; `undefined`: they do not. */
  loginEnd(): { readonly reason: string; readonly remedy: string } | undefined;
  /** Login shell of this user; `undefined` where there is none. */
  loginShell(): string | undefined;
  /** The C library with its version, e.g. `glibc 2.36`; `undefined` where nobody chooses it. */
  libc(): { readonly name: string; readonly version: string } | undefined;
}
