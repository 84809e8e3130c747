/**
 * The wire profiles: one record of data each (spec wire.md §0, files.md §0, git.md §0).
 * Code reads rows and never asks for a profile's name, so a new generation is a new record.
 */
import type { ErrorKind } from './errors.ts';

export type ProfileName = 'S' | 'current' | 'next';

export interface Profile {
  readonly name: ProfileName;
  readonly server: {
    /** In the order `server.capabilities` lists them. */
    readonly methods: readonly string[];
    readonly features: readonly string[];
    /** Features left out on Windows. */
    readonly featuresNotOnWindows: readonly string[];
    readonly capabilitiesIdentity: boolean;
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
  /** `.zst.part` files are leftovers. */
  readonly sweepParts: boolean;
  /** `.exe` on Windows, a file in the folder's place is cleared, the folder is made first, no run without a home. */
  readonly nextPaths: boolean;
  /** The key `launcherStatus`, when the environment asks for it (spec install.md §9). */
  readonly launcherStatus: boolean;
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
  /** Whether a second file of one name, or a folder in the marker's place, is removed first. */
  readonly replaceEntry: boolean;
}

const methodsN = [
  'server.ping',
  'server.capabilities',
  'server.shutdown',
  'files.list',
  'files.validate',
  'files.stat',
  'files.read',
  'files.extract_tar',
  'git.info',
  'git.status',
  'git.list_branches',
  'git.worktree_create',
  'git.worktree_remove',
  'process.spawn',
  'process.stdin',
  'process.kill',
  'process.killAndWait',
  'process.reattach',
];

const S: Profile = {
  name: 'S',
  server: {
    methods: ['server.ping', 'server.version', ...methodsN.slice(1)],
    features: ['process.stdin.offset'],
    featuresNotOnWindows: [],
    capabilitiesIdentity: false,
    shutdownReply: false,
    shutdownNeedsAuth: false,
  },
  wire: { idleCloseMs: 0, syncErrors: ['parseError', 'unauthorized'] },
  process: {
    exitFrameSignal: false,
    sessionSupersede: 'no',
    stdinOffsetBeforeRunning: false,
    stdinQueueMax: 16_777_216,
    stdinQueueFull: 'hold',
    reattachClosesOld: false,
    runningFlipsAt: 'exitFrame',
    idReuseKillsOld: true,
    strippedVariables: [],
  },
  git: {
    timeoutDefaultMs: 60_000,
    directoryBy: 'option',
    trustCheck: false,
    listing: 'off',
    worktreeRoot: false,
    info: { branch: 'symbolicRef', root: 'toplevel', verifyDefault: false },
    status: { scope: 'repository', trimBlob: true, submodules: false },
    listBranches: { refuseManaged: false },
    create: {
      containment: false,
      timeoutMs: false,
      existingBranch: false,
      checkout: 'byAdd',
      origin: 'local',
      gitText: 'combined',
      populate: 'claudeAndManifest',
      registrationTests: false,
      timeoutEndsAdd: false,
    },
    remove: { containment: false, engine: 'git', branch: 'force' },
    externalRootTests: 'basic',
  },
  modes: {
    bannerSuffix: false,
    launcherWaitMs: 10_000,
    logRotate: 'unlink',
    runDirLock: false,
    selfProbe: false,
    stopOutput: false,
    stopRemoves: 'nothing',
    probeCli: false,
    homeRequired: false,
    namesPredecessor: false,
  },
  install: {
    order: 'runThenRename',
    progress: false,
    unresponsive: false,
    namesInterruption: false,
    pruneFolders: false,
    sweepParts: false,
    nextPaths: false,
    launcherStatus: false,
  },
  files: {
    listNonDirText: 'readdirent',
    readFirst: 'stat',
    readNonRegular: 'refuseAll',
    readRegularOnlyFlag: false,
    tar: {
      execBit: false,
      nameRule: 'prefix',
      readPrefix: 'gzip: ',
      entryPrefixes: false,
      textStyle: 'path',
      replaceEntry: false,
    },
  },
  platform: {
    windowsSignalScope: 'tree',
    windowsKeepChildren: false,
    sshAgentHandOff: false,
    childMarkers: false,
    hostCleaner: false,
  },
};

const current: Profile = {
  name: 'current',
  server: {
    ...S.server,
    methods: methodsN,
    features: [
      'process.stdin.offset',
      'git.status.baseRepo',
      'git.worktree_create.timeoutMs',
      'git.worktree.external_root',
      'server.instance_id',
    ],
    featuresNotOnWindows: ['git.worktree.external_root'],
    capabilitiesIdentity: true,
    shutdownReply: true,
  },
  wire: { ...S.wire, idleCloseMs: 300_000 },
  process: {
    ...S.process,
    exitFrameSignal: true,
    sessionSupersede: 'yes',
    stdinOffsetBeforeRunning: true,
    stdinQueueFull: 'refuse',
  },
  git: {
    ...S.git,
    timeoutDefaultMs: 0,
    directoryBy: 'cwd',
    listing: 'bestEffort',
    worktreeRoot: true,
    status: { scope: 'sessionWorktree', trimBlob: false, submodules: false },
    create: {
      ...S.git.create,
      containment: true,
      timeoutMs: true,
      checkout: 'readTree',
      populate: 'manifestAndIgnored',
      timeoutEndsAdd: true,
    },
    remove: { containment: true, engine: 'guardedGit', branch: 'force' },
  },
  modes: { ...S.modes, runDirLock: true, selfProbe: true, stopRemoves: 'socket' },
  install: { ...S.install, progress: true },
  files: { ...S.files, listNonDirText: 'open', readNonRegular: 'refuse', readRegularOnlyFlag: true },
  platform: S.platform,
};

const next: Profile = {
  name: 'next',
  server: {
    ...current.server,
    methods: [...methodsN, 'plugins.prune'],
    features: [
      'process.stdin.offset',
      'git.status.baseRepo',
      'git.info.discovered_root',
      'git.worktree_create.timeoutMs',
      'git.worktree_create.existingBranch',
      'git.worktree_remove.unpushedGuard',
      'process.spawn.shellAgentSocket',
      'git.worktree.external_root',
      'server.instance_id',
    ],
  },
  wire: current.wire,
  process: {
    ...current.process,
    sessionSupersede: 'waitForOldExit',
    reattachClosesOld: true,
    runningFlipsAt: 'reap',
    idReuseKillsOld: false,
    strippedVariables: ['CLAUDE_SSH_MANAGED_LAUNCHER', 'CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR'],
  },
  git: {
    ...current.git,
    trustCheck: true,
    listing: 'required',
    info: { branch: 'showCurrent', root: 'discovery', verifyDefault: true },
    status: { ...current.git.status, submodules: true },
    listBranches: { refuseManaged: true },
    create: {
      ...current.git.create,
      existingBranch: true,
      origin: 'localOrOrigin',
      gitText: 'textRule',
      populate: 'bothPasses',
      registrationTests: true,
      timeoutEndsAdd: false,
    },
    remove: { ...current.git.remove, engine: 'own', branch: 'step' },
    externalRootTests: 'full',
  },
  modes: {
    ...current.modes,
    bannerSuffix: true,
    launcherWaitMs: 12_000,
    logRotate: 'rename',
    stopOutput: true,
    stopRemoves: 'byWord',
    probeCli: true,
    homeRequired: true,
    namesPredecessor: true,
  },
  install: {
    ...current.install,
    order: 'renameThenRun',
    unresponsive: true,
    namesInterruption: true,
    pruneFolders: true,
    sweepParts: true,
    nextPaths: true,
    launcherStatus: true,
  },
  files: {
    ...current.files,
    readFirst: 'open',
    readRegularOnlyFlag: false,
    tar: {
      execBit: true,
      nameRule: 'local',
      readPrefix: 'tar read: ',
      entryPrefixes: true,
      textStyle: 'at',
      replaceEntry: true,
    },
  },
  platform: {
    windowsSignalScope: 'child',
    windowsKeepChildren: true,
    sshAgentHandOff: true,
    childMarkers: true,
    hostCleaner: true,
  },
};

const profiles: Record<ProfileName, Profile> = { S, current, next };

/** Reads the name as flags and configuration files spell it, case ignored; `undefined` for anything else. */
export function profileNamed(text: string): Profile | undefined {
  const wanted = text.toLowerCase();
  return Object.values(profiles).find((profile) => profile.name.toLowerCase() === wanted);
}

export const defaultProfile: Profile = S;
