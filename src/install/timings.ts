/** Every limit of `-install` and `-probe-cli`, in milliseconds, in one table. Fixed for users; tests pass shorter ones. */
export interface InstallTimings {
  /** Version run of a CLI that was there already, and of one installed now (spec install.md §6). */
  readonly cachedRunMs: number;
  readonly firstRunMs: number;
  /** A killed version run is waited for so long at most, because a process that the kernel holds may never end. */
  readonly killedRunMs: number;
  /** The same runs through the managed launcher, and the wait for what it has written (spec generation-n2.md §6). */
  readonly cachedLauncherRunMs: number;
  readonly firstLauncherRunMs: number;
  readonly launcherOutputMs: number;
  /** `ldd --version`, and a process that holds its output open after its end (spec install.md §7). */
  readonly libcMs: number;
  readonly libcHolderMs: number;
  /** Download (spec install.md §4). */
  readonly connectMs: number;
  readonly tlsHandshakeMs: number;
  readonly responseHeadersMs: number;
  readonly readIdleMs: number;
  readonly progressMs: number;
  /** Leftovers are swept once they are older (spec install.md §5). */
  readonly leftoverAgeMs: number;
  /** The same for `.zst.part` files, where they have a sweep of their own (spec generation-n2.md §9). */
  readonly partFileAgeMs: number;
}

export const installTimings: InstallTimings = {
  cachedRunMs: 30_000,
  firstRunMs: 120_000,
  killedRunMs: 1_000,
  cachedLauncherRunMs: 33_000,
  firstLauncherRunMs: 123_000,
  launcherOutputMs: 2_000,
  libcMs: 5_000,
  libcHolderMs: 2_000,
  connectMs: 30_000,
  tlsHandshakeMs: 10_000,
  responseHeadersMs: 60_000,
  readIdleMs: 60_000,
  progressMs: 1_000,
  leftoverAgeMs: 600_000,
  partFileAgeMs: 604_800_000,
};
