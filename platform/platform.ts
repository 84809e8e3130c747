/**
 * What Holdfast needs from an operating system, in the engine's words: one interface, of which each part is described in a
 * file of its own in this folder. `platform/posix` and `platform/win32` keep the promises, in files of the same names, and
 * `test/platform/*.contract.ts` holds both to them. `load.ts` chooses between the two.
 */
import type { ChildMarkers } from './child-markers.ts';
import type { Dialer } from './dialer.ts';
import type { FileOperations } from './files.ts';
import type { GitHost } from './git-host.ts';
import type { Home } from './home.ts';
import type { Host } from './host.ts';
import type { HostCleaning } from './host-cleaning.ts';
import type { Paths } from './paths.ts';
import type { ProcessList } from './process-list.ts';
import type { Processes } from './processes.ts';
import type { RunDirectories } from './run-directories.ts';
import type { SharedMemory } from './shared-memory.ts';
import type { StartedWith } from './started-with.ts';
import type { Transport } from './transport.ts';
import type { Trust } from './trust.ts';

/** What sessions and their programs need: all that a keeper loads, which may be idle for months. */
export interface SessionPlatform {
  readonly processes: Processes;
  readonly transport: Transport;
  readonly runDirectories: RunDirectories;
  readonly host: Host;
  readonly startedWith: StartedWith;
  readonly paths: Paths;
  /** `undefined` where children never outlive their daemon (Windows). */
  readonly childMarkers: ChildMarkers | undefined;
  /** `undefined` where processes have none in common: macOS. */
  readonly sharedMemory: SharedMemory | undefined;
}

export interface Platform extends SessionPlatform {
  readonly name: 'posix' | 'win32';
  /** Names as the wire prints them (spec wire.md §7.2). */
  readonly os: 'linux' | 'darwin' | 'windows';
  readonly arch: string;
  readonly trust: Trust;
  readonly files: FileOperations;
  readonly git: GitHost;
  /** Loads what the host cleaner needs; `undefined` where hosts are not cleaned: macOS, Windows. */
  readonly hostCleaning: (() => Promise<HostCleaning>) | undefined;
}

/**
 * What a client of the daemon needs, `-bridge` for one. Much less is loaded for it than for a `Platform`, because many of
 * them live beside one daemon; on POSIX no native code is loaded before a connection stands.
 */
export interface ClientPlatform {
  readonly paths: Paths;
  readonly user: Home;
  readonly startedWith: StartedWith;
  readonly dialer: Dialer;
  /** For verbs that show processes. On Linux without native code. */
  processList(): Promise<ProcessList>;
}
