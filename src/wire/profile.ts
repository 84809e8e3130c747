/** What a wire profile decides: the rows of wire.md §0, files.md §0, git.md §0, install.md and modes.md. The records: profiles.ts. */
import type { ErrorKind } from './error-codes.ts';

export type ProfileName = 'S' | 'current' | 'next' | 'latest';

export interface Profile {
  readonly name: ProfileName;
  readonly server: {
    /** In the order `server.capabilities` lists them. */
    readonly methods: readonly string[];
    readonly features: readonly string[];
    /** Features left out on Windows. */
    readonly featuresNotOnWindows: readonly string[];
    readonly capabilitiesIdentity: boolean;
    /** The member `peerCheck` of `server.capabilities`, and its variable: read once at the start, seen by no child. */
    readonly peerCheck: boolean;
    readonly shutdownReply: boolean;
    readonly shutdownNeedsAuth: boolean;
  };
  readonly wire: {
    /** 0: never. */
    readonly idleCloseMs: number;
    /** Replies written before the next line of the connection is read. */
    readonly syncErrors: readonly ErrorKind[];
  };
  readonly process: {
    readonly exitFrameSignal: boolean;
    readonly sessionSupersede: 'no' | 'yes' | 'waitForOldExit';
    readonly stdinOffsetBeforeRunning: boolean;
    readonly stdinQueueMax: number;
    readonly stdinQueueFull: 'hold' | 'refuse';
    readonly reattachClosesOld: boolean;
    readonly runningFlipsAt: 'exitFrame' | 'reap';
    readonly idReuseKillsOld: boolean;
    /** Variables of the daemon that no child sees (spec modes.md §4). */
    readonly strippedVariables: readonly string[];
    /** Whether they are dropped from the `env` of a request too. */
    readonly stripsRequest: boolean;
    /** Whether `launcher` is a parameter of `process.spawn`. */
    readonly spawnLauncher: boolean;
  };
  /** Rows of spec git.md §0. */
  readonly git: {
    /** Deadline of one git call when neither flag nor file sets one; 0: none (spec git.md §2). */
    readonly timeoutDefaultMs: number;
    /** How git is led to a directory: by `-C`, or by starting it there (spec git.md §2.1). */
    readonly directoryBy: 'option' | 'cwd';
    /** Test of git's control files before git runs (spec git.md §9). */
    readonly trustCheck: boolean;
    /** Listing of the configuration in force, for the names of configured hooks (spec git.md §2.2). */
    readonly listing: 'off' | 'bestEffort' | 'required';
    /** Whether `worktreeRoot` is a parameter. */
    readonly worktreeRoot: boolean;
    readonly info: {
      readonly branch: 'symbolicRef' | 'showCurrent';
      readonly root: 'toplevel' | 'discovery';
      readonly verifyDefault: boolean;
    };
    readonly status: {
      readonly scope: 'repository' | 'sessionWorktree';
      readonly trimBlob: boolean;
      /** Entries for submodules, and bounds for the length and number of lines (spec git.md §4.2). */
      readonly submodules: boolean;
    };
    readonly listBranches: {
      /** Whether a path inside a managed worktrees directory is no repository (spec git.md §5). */
      readonly refuseManaged: boolean;
    };
    readonly create: {
      readonly containment: boolean;
      readonly timeoutMs: boolean;
      /** The parameter `existingBranch` and the reply member `branch`. */
      readonly existingBranch: boolean;
      readonly checkout: 'byAdd' | 'readTree';
      readonly origin: 'local' | 'localOrOrigin';
      readonly gitText: 'combined' | 'textRule';
      readonly populate: 'claudeAndManifest' | 'manifestAndIgnored' | 'bothPasses';
      /** Stale registration before the add and registration tests after it (spec git.md §6.4.1, §6.4.4). */
      readonly registrationTests: boolean;
      /** Whether those tests refuse a registration that was found stale before the add and left where it was. */
      readonly staleEntryTest: boolean;
      /** Whether a failure to place the index is told with the call that failed (spec generation-n2.md §10.3). */
      readonly placeIndexTexts: boolean;
      /** Whether `timeoutMs` ends a running add. */
      readonly timeoutEndsAdd: boolean;
    };
    readonly remove: {
      readonly containment: boolean;
      /** `git worktree remove` with a delete to fall back on; the same with guards; no `git worktree remove` at all. */
      readonly engine: 'git' | 'guardedGit' | 'own';
      readonly branch: 'force' | 'step';
    };
    /** The tests of `worktreeRoot` that only the later generation makes (spec git.md §6.3). */
    readonly externalRootTests: 'basic' | 'full';
  };
  readonly modes: {
    readonly bannerSuffix: boolean;
    readonly launcherWaitMs: number;
    readonly logRotate: 'unlink' | 'rename';
    readonly runDirLock: boolean;
    readonly selfProbe: boolean;
    readonly stopOutput: boolean;
    readonly stopRemoves: 'nothing' | 'socket' | 'byWord';
    readonly probeCli: boolean;
    /** Whether a missing home folder is fatal even when no default path is needed (spec modes.md §4). */
    readonly homeRequired: boolean;
    /** Whether a live predecessor that keeps the path gets its own launcher text (spec modes.md §6). */
    readonly namesPredecessor: boolean;
  };
  readonly install: InstallRules;
  /** Rows of spec files.md §0. */
  readonly files: {
    /** Word in front of "not a directory" when `files.list` is given something else. */
    readonly listNonDirText: 'readdirent' | 'open';
    /** What `files.read` asks first, and so which word its errors carry. */
    readonly readFirst: 'stat' | 'open';
    /** `refuse`: looked at through the open file, so that the null device can be read; `refuseAll`: nothing is opened. */
    readonly readNonRegular: 'refuseAll' | 'refuse';
    /** Whether `-files-read-regular-only` turns `refuse` into `refuseAll`. */
    readonly readRegularOnlyFlag: boolean;
    readonly tar: TarRules;
  };
  readonly platform: {
    readonly windowsSignalScope: 'tree' | 'child';
    readonly windowsKeepChildren: boolean;
    readonly sshAgentHandOff: boolean;
    /** Marks in the environment of children, a record of each, and the end of those a dead daemon has left (POSIX). */
    readonly childMarkers: boolean;
    /** Whether the log says what became of the host cleaner (spec platform.md §2). */
    readonly hostCleaner: boolean;
  };
}

/** Rows of spec wire.md §0 "install" and install.md. */
export interface InstallRules {
  /** Whether a new CLI is run at its temporary path before it takes its place, or afterwards (spec install.md §3). */
  readonly order: 'runThenRename' | 'renameThenRun';
  /** Progress lines and the key `fetch`. */
  readonly progress: boolean;
  /** The key `cliUnresponsive` and its text; without it a run that hangs is one that failed. */
  readonly unresponsive: boolean;
  /** A download that breaks off names how far it came. */
  readonly namesInterruption: boolean;
  /** Folders count as versions too, and `-cli-keep 0` prunes. */
  readonly pruneFolders: boolean;
  /** `.zst.part` files: `kept`; cleared like other leftovers; or `ownSweep`, once they are seven days old. */
  readonly partFiles: 'kept' | 'leftovers' | 'ownSweep';
  /** A negative `-cli-keep` after a good installation: nothing is pruned, or that and a complaint with exit code 2. */
  readonly negativeKeep: 'noPrune' | 'refused';
  /** `.exe` on Windows, a file in the folder's place is cleared, the folder is made first, no run without a home. */
  readonly nextPaths: boolean;
  /** What the gate variable asks for: `none` is always the status `none`, `resolve` the host's policy (spec install.md §9). */
  readonly launcher: 'off' | 'none' | 'resolve';
}

/** How `files.extract_tar` treats and names the entries of an archive (spec files.md §7.2). */
export interface TarRules {
  /** Whether the owner's execute bit of the archive makes a file 0700. */
  readonly execBit: boolean;
  /** `prefix`: the cleaned target must lie below the destination; `local`: the name itself must not climb. */
  readonly nameRule: 'prefix' | 'local';
  /** In front of failures to read the archive. */
  readonly readPrefix: string;
  /** Whether failures to write carry `write <entry>: `, and those of a directory entry `mkdir <entry>: `. */
  readonly entryPrefixes: boolean;
  /** Whether failures name the whole target path or the name inside the destination. */
  readonly textStyle: 'path' | 'at';
  /** Whether the new destination is opened through its parent, with texts of its own (spec generation-n2.md §8.2). */
  readonly openTexts: boolean;
  /** Whether a second file of one name, or a folder in the marker's place, is removed first. */
  readonly replaceEntry: boolean;
}
