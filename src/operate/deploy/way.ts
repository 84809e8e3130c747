/** How a kind of host is dealt with over ssh: by `sh` on POSIX, by SFTP and whatever shell there is on Windows. */
import type { Executable, TargetName } from './executable.ts';
import type { DaemonOutcome } from './replace-daemon.ts';

export interface Place {
  /** Of the executable, as the host spells it. */
  readonly file: string;
  /** Why there, for the user. */
  readonly why: string;
  /** Whether `ssh host holdfast` looks there. */
  readonly isOnPath: boolean;
  /** What would make it look there. */
  readonly remedy: string;
}

export interface Copied {
  /** `there`: nothing was to be done. `missing`: it would be, and was not tried. */
  readonly state: 'there' | 'missing' | 'placed';
  /** What an earlier copy had left, in bytes. */
  readonly continuedAt: number;
}

/** Told how much is there, of how much; the last time when all is. */
export type OnProgress = (sent: number, all: number) => void;

export interface UpgradeThere {
  readonly daemon: DaemonOutcome;
  /** The program that `ssh host holdfast` runs instead of ours, in full; `undefined`: ours, empty: none. */
  readonly foundInstead: string | undefined;
}

export interface Way {
  readonly target: TargetName;
  /** Empty where there is none, or nobody knows. */
  readonly libc: string;
  /** What a login prints although it has no terminal; empty: nothing. */
  readonly noise: string;
  /** A program that every such host has, with its words, for an example. */
  readonly example: string;
  /** @throws HoldfastError where it cannot run there */
  check(executable: Executable): void;
  place(asked: string | undefined): Place;
  /** Looks only. */
  isThere(executable: Executable, place: Place): Promise<Copied>;
  /** @throws HoldfastError with what stands in the way and what to do about it */
  copy(executable: Executable, place: Place, onProgress: OnProgress): Promise<Copied>;
  /** Runs `holdfast upgrade` of the program there. */
  upgrade(place: Place, words: readonly string[]): Promise<UpgradeThere>;
}
