/**
 * The settings in force: explicit flag, then `holdfast.conf`, then `claustrum.conf`, then the default, key by key
 * (spec modes.md §3 "Precedence").
 */
import type { Log } from '../base/log.ts';
import type { Profile } from '../wire/profile.ts';
import type { ConfigurationFile } from './configuration-file.ts';
import type { ConfigurationFileName } from './configuration-file-names.ts';
import { type Option, type OptionMode, type OptionName, type OptionValues, optionNames, options } from './options.ts';

export type Source = 'flag' | ConfigurationFileName | 'default';

/** A value and where it comes from. */
export interface Effective<T> {
  readonly value: T;
  readonly source: Source;
}

/** Every option of the table with its value in force; `undefined`: nobody set it and it has no fixed default. */
export type EffectiveValues = { readonly [Name in OptionName]: Effective<OptionValues[Name] | undefined> };

/** Something the user should know about a value, one line, for the log or the stderr of the mode it belongs to. */
export interface SettingsWarning {
  readonly mode: OptionMode;
  readonly text: string;
}

/** The values in force by the name of their option. */
type Chosen = { readonly [Name in OptionName]: OptionValues[Name] | undefined };

/** What the program works with: each setting once, with its meaning and how it is made of the option. */
const settingTable = {
  profile: (_, profile) => profile,
  /** As given; empty until {@link withDefaultSocket} where nobody gave one. */
  socketPath: ({ socket }) => socket ?? '',
  /** `undefined`: not given. */
  tokenFile: (chosen) => filled(chosen['token-file']),
  /** `undefined`: not given, or negative. */
  tokenFd: ({ 'token-fd': fd = -1 }) => (fd < 0 ? undefined : fd),
  durable: ({ durable }) => durable === true,
  /** Of a process whose exit frame no receiver has; `undefined`: as usual, which is longer where sessions are durable. */
  unseenRetentionMs: (chosen) => chosen['unseen-retention'],
  /** `host:port`; `undefined`: no metrics listener. */
  metricsAddress: (chosen) => filled(chosen['metrics-addr']),
  keepChildren: (chosen) => chosen['keep-children'] === true,
  listenPipe: (chosen) => chosen['listen-pipe'] === true,
  /** `undefined`: no wire log. */
  wireLogPath: (chosen) => filled(chosen['wire-log']),
  /** Longest string of a logged frame in characters; 0: frames are logged whole and verbatim. */
  wireLogMaxString: (chosen) => chosen['wire-log-max-string'] ?? 0,
  /** Largest wire log; 0: no limit. */
  wireLogMaxBytes: (chosen) => chosen['wire-log-max-bytes'] ?? 0,
  /** Largest log; 0: no limit. */
  logMaxBytes: (chosen) => chosen['log-max-bytes'] ?? 0,
  /** What becomes of a client that reads more slowly than its process writes. */
  slowReader: (chosen) => chosen['slow-reader'] ?? 'pace',
  /** Bytes held for all clients together; 0: no limit, `undefined`: what the host makes of it. */
  memoryBudget: (chosen) => chosen['memory-budget'],
  /** Output of one process kept on disk behind what is kept in memory; 0: none. */
  spoolBytes: (chosen) => chosen['spool-bytes'] ?? 0,
  /** Processes that may run at once; 0: no limit. */
  maxSessions: (chosen) => chosen['max-sessions'] ?? 0,
  /** How long a process may run without receiver and output; 0: for good. */
  detachedTtlMs: (chosen) => chosen['detached-ttl'] ?? 0,
  /** Children carry the mark of their session; `undefined`: where sessions are durable or `reap-tree` needs it. */
  markChildren: (chosen) => chosen['mark-children'],
  /** What an ended process has left outside its group is ended too. */
  reapTree: (chosen) => chosen['reap-tree'] === true,
  /** 0: no limit. */
  maxExtractBytes: (chosen) => chosen['max-extract-bytes'] ?? 0,
  /** Limit of one git call, fit for a timer; 0: none. */
  gitTimeoutMs: (chosen, profile) => timerMs(chosen['git-timeout'] ?? profile.git.timeoutDefaultMs),
  filesReadRegularOnly: (chosen) => chosen['files-read-regular-only'] === true,

  // Of -install; `undefined`: not given, or given empty.
  cliDirectory: (chosen) => filled(chosen['cli-dir']),
  cliVersion: (chosen) => filled(chosen['cli-version']),
  cliUrl: (chosen) => filled(chosen['cli-url']),
  cliChecksum: (chosen) => filled(chosen['cli-checksum']),
  cliZst: (chosen) => filled(chosen['cli-zst']),
  /** Versions the prune leaves; negative: no prune (spec install.md §5). */
  cliKeep: (chosen) => chosen['cli-keep'] ?? 0,
  /** 0: no limit. */
  maxCliBytes: (chosen) => chosen['max-cli-bytes'] ?? 0,
  /** Limit of the whole download, fit for a timer; 0: none. */
  cliDownloadTimeoutMs: (chosen) => timerMs(chosen['cli-download-timeout'] ?? 0),

  /** The program that `-probe-cli` is asked about. */
  probedCli: (chosen) => chosen['probe-cli'] ?? '',
  /** More run directories that the verbs look at, beside the usual one, separated as in PATH; `undefined`: none. */
  runDirectories: (chosen) => filled(chosen['run-directories']),
  /** Commit that `-version` names instead of our own version. */
  versionOverride: (chosen) => filled(chosen['version-override']),
} satisfies Record<string, (chosen: Chosen, profile: Profile) => unknown>;

type SettingTable = typeof settingTable;

export interface SettingOrigins {
  /** Every option with its value and source, for those who show them. */
  readonly effective: EffectiveValues;
  readonly warnings: readonly SettingsWarning[];
}

export type Settings = { readonly [Name in keyof SettingTable]: ReturnType<SettingTable[Name]> } & SettingOrigins;

/** Writes the warnings that belong to one of `modes`. */
export function logWarnings({ warnings }: Settings, modes: readonly OptionMode[], log: Log): void {
  for (const { mode, text } of warnings) {
    if (modes.includes(mode)) {
      log.warn(mode === 'install' ? 'Install' : 'Server', text);
    }
  }
}

/**
 * Merges what was given with the defaults.
 * @param given the flags that occurred on the command line, also those with their default value
 */
export function mergeSettings(given: Partial<OptionValues>, files: readonly ConfigurationFile[]): Settings {
  const warnings: SettingsWarning[] = files.flatMap(({ refusals }) =>
    refusals.map(({ option, text }) => ({ mode: option === undefined ? 'all' : options[option].mode, text })),
  );
  const effective = Object.fromEntries(
    optionNames.map((name) => [name, pick(name, given, files, warnings)]),
  ) as unknown as EffectiveValues;
  const { value: profile = options['wire-profile'].initial as Profile } = effective['wire-profile'];
  const chosen = Object.fromEntries(optionNames.map((name) => [name, effective[name].value])) as Chosen;
  const made = Object.entries(settingTable).map(([name, make]) => [name, make(chosen, profile)]);
  const settings = { ...Object.fromEntries(made), effective, warnings } as Settings;
  const { readNonRegular, readRegularOnlyFlag } = profile.files;
  if (settings.filesReadRegularOnly && readNonRegular === 'refuse' && !readRegularOnlyFlag) {
    warnings.push({
      mode: 'serve',
      text: '-files-read-regular-only is deprecated and has no effect: only regular files are read',
    });
  }
  return settings;
}

/** The settings with this socket path, where nobody gave one. */
export function withDefaultSocket(settings: Settings, socketPath: string): Settings {
  if (settings.effective.socket.source !== 'default') {
    return settings;
  }
  return {
    ...settings,
    socketPath,
    effective: { ...settings.effective, socket: { value: socketPath, source: 'default' } },
  };
}

function pick(
  name: OptionName,
  given: Partial<OptionValues>,
  files: readonly ConfigurationFile[],
  warnings: SettingsWarning[],
): Effective<unknown> {
  const row: Option<unknown> = options[name];
  const found = sourceOf(name, given, files) ?? { value: row.initial, source: 'default' };
  if (found.source === 'default') {
    return found;
  }
  if (row.withoutEffect !== undefined) {
    warnings.push({ mode: row.mode, text: `-${name} has no effect: ${row.withoutEffect}` });
  }
  if (row.bound && (found.value as number) < 0) {
    warnings.push({ mode: row.mode, text: `-${name} is negative and counts as 0 (off)` });
    return { value: 0, source: found.source };
  }
  return found;
}

function sourceOf(
  name: OptionName,
  given: Partial<OptionValues>,
  files: readonly ConfigurationFile[],
): Effective<unknown> | undefined {
  if (Object.hasOwn(given, name)) {
    return { value: given[name], source: 'flag' };
  }
  const file = files.find(({ values }) => Object.hasOwn(values, name));
  return file === undefined ? undefined : { value: file.values[name], source: file.name };
}

function filled(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

/** A timer holds 31 bits of milliseconds and fires at once beyond; 24 days are as good as any longer limit. */
const longestTimerMs = 2 ** 31 - 1;

function timerMs(milliseconds: number): number {
  return milliseconds === 0 ? 0 : Math.min(longestTimerMs, Math.max(1, Math.ceil(milliseconds)));
}
