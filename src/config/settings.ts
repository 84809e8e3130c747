/**
 * The settings in force: explicit flag, then `holdfast.conf`, then `claustrum.conf`, then the default, key by key
 * (spec modes.md §3 "Precedence").
 */
import type { Log } from '../base/log.ts';
import type { Profile } from '../wire/profile.ts';
import type { ConfigurationFile } from './configuration-file.ts';
import type { ConfigurationFileName } from './configuration-file-names.ts';
import type { SlowReader } from './option-values.ts';
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

export interface Settings {
  readonly profile: Profile;
  /** As given; empty until {@link withDefaultSocket} where nobody gave one. */
  readonly socketPath: string;
  /** `undefined`: not given. */
  readonly tokenFile: string | undefined;
  /** `undefined`: not given, or negative. */
  readonly tokenFd: number | undefined;
  readonly durable: boolean;
  /** `host:port`; `undefined`: no metrics listener. */
  readonly metricsAddress: string | undefined;
  readonly keepChildren: boolean;
  readonly listenPipe: boolean;
  /** `undefined`: no wire log. */
  readonly wireLogPath: string | undefined;
  /** Longest string of a logged frame in characters; 0: frames are logged whole and verbatim. */
  readonly wireLogMaxString: number;
  /** Largest wire log; 0: no limit. */
  readonly wireLogMaxBytes: number;
  /** Largest log; 0: no limit. */
  readonly logMaxBytes: number;
  readonly slowReader: SlowReader;
  /** 0: no limit. */
  readonly maxExtractBytes: number;
  /** Limit of one git call, fit for a timer; 0: none. */
  readonly gitTimeoutMs: number;
  readonly filesReadRegularOnly: boolean;
  readonly install: InstallSettings;
  /** Commit that `-version` names instead of our own version. */
  readonly versionOverride: string | undefined;

  /** Every option with its value and source, for those who show them. */
  readonly effective: EffectiveValues;
  readonly warnings: readonly SettingsWarning[];
}

/** `undefined`: not given, or given empty. */
export interface InstallSettings {
  readonly cliDirectory: string | undefined;
  readonly cliVersion: string | undefined;
  readonly cliUrl: string | undefined;
  readonly cliChecksum: string | undefined;
  readonly cliZst: string | undefined;
  /** Versions the prune leaves; negative: no prune (spec install.md §5). */
  readonly cliKeep: number;
  /** 0: no limit. */
  readonly maxCliBytes: number;
  /** Limit of the whole download, fit for a timer; 0: none. */
  readonly cliDownloadTimeoutMs: number;
}

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
  const filesReadRegularOnly = effective['files-read-regular-only'].value === true;
  if (filesReadRegularOnly && profile.files.readNonRegular === 'refuse' && !profile.files.readRegularOnlyFlag) {
    warnings.push({
      mode: 'serve',
      text: '-files-read-regular-only is deprecated and has no effect: only regular files are read',
    });
  }

  return {
    profile,
    socketPath: effective.socket.value ?? '',
    tokenFile: filled(effective['token-file']),
    tokenFd: (effective['token-fd'].value ?? -1) < 0 ? undefined : effective['token-fd'].value,
    durable: effective.durable.value === true,
    metricsAddress: filled(effective['metrics-addr']),
    keepChildren: effective['keep-children'].value === true,
    listenPipe: effective['listen-pipe'].value === true,
    wireLogPath: filled(effective['wire-log']),
    wireLogMaxString: effective['wire-log-max-string'].value ?? 0,
    wireLogMaxBytes: effective['wire-log-max-bytes'].value ?? 0,
    logMaxBytes: effective['log-max-bytes'].value ?? 0,
    slowReader: effective['slow-reader'].value ?? 'pace',
    maxExtractBytes: effective['max-extract-bytes'].value ?? 0,
    gitTimeoutMs: timerMs(effective['git-timeout'].value ?? profile.git.timeoutDefaultMs),
    filesReadRegularOnly,
    install: {
      cliDirectory: filled(effective['cli-dir']),
      cliVersion: filled(effective['cli-version']),
      cliUrl: filled(effective['cli-url']),
      cliChecksum: filled(effective['cli-checksum']),
      cliZst: filled(effective['cli-zst']),
      cliKeep: effective['cli-keep'].value ?? 0,
      maxCliBytes: effective['max-cli-bytes'].value ?? 0,
      cliDownloadTimeoutMs: timerMs(effective['cli-download-timeout'].value ?? 0),
    },
    versionOverride: filled(effective['version-override']),
    effective,
    warnings,
  };
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

function filled({ value }: Effective<string | undefined>): string | undefined {
  return value === '' ? undefined : value;
}

/** A timer holds 31 bits of milliseconds and fires at once beyond; 24 days are as good as any longer limit. */
const longestTimerMs = 2 ** 31 - 1;

function timerMs(milliseconds: number): number {
  return milliseconds === 0 ? 0 : Math.min(longestTimerMs, Math.max(1, Math.ceil(milliseconds)));
}
