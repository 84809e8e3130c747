/** `holdfast config`: what a start would use, where each value comes from, and every timer there is. */
import { join } from 'node:path';
import { goDuration } from '../base/durations.ts';
import { levelNamed } from '../base/log.ts';
import { defaultMemoryBudget } from '../base/memory-budget.ts';
import { printable } from '../base/printable.ts';
import { stopTimings, timings } from '../base/timings.ts';
import { version } from '../base/version.ts';
import { type ConfigurationFile, readConfigurationFiles } from '../config/configuration-file.ts';
import { parseFlags } from '../config/flags.ts';
import { type Option, type OptionName, optionNames, options } from '../config/options.ts';
import { mergeSettings, type Settings, withDefaultSocket } from '../config/settings.ts';
import { installTimings } from '../install/timings.ts';
import { defaultCliFolder, defaultSocketPath } from '../run-directory/names.ts';
import type { Profile } from '../wire/profile.ts';
import { installTimerTexts, stopTimerTexts, timerTexts } from './timer-texts.ts';
import type { VerbContext } from './verbs.ts';

const exitUsage = 2;

export interface ShownSetting {
  readonly name: string;
  /** As it would be written in a configuration file; empty when it is not set. */
  readonly value: string;
  /** `flag`, a configuration file, an environment variable, or where the default comes from. */
  readonly source: string;
}

export interface ShownTimer {
  readonly name: string;
  readonly milliseconds: number;
  readonly meaning: string;
}

export interface ShownConfiguration {
  readonly version: string;
  readonly profile: string;
  readonly files: readonly { readonly path: string; readonly state: string }[];
  readonly settings: readonly ShownSetting[];
  readonly timers: readonly ShownTimer[];
  readonly warnings: readonly string[];
}

export async function config(
  words: readonly string[],
  { json }: { readonly json?: boolean },
  context: VerbContext,
): Promise<number> {
  const flags = parseFlags(words);
  if (flags.outcome !== 'parsed' || flags.rest.length > 0) {
    const reason = flags.outcome === 'failed' ? flags.message : 'want flags after --, as holdfast -serve takes them';
    context.complain(`holdfast config: ${reason}\n`);
    return exitUsage;
  }
  const files = readConfigurationFiles(context.executableDirectory);
  const { host } = await context.platform();
  const merged = mergeSettings(flags.given, files);
  const home = host.home();
  const memoryBytes = host.memoryLimit();
  const settings = home === undefined ? merged : withDefaultSocket(merged, defaultSocketPath(home));
  const shown = configurationOf(settings, files, { ...context, home, memoryBytes });
  context.print(json === true ? `${JSON.stringify(shown, null, 2)}\n` : text(shown));
  return 0;
}

/** What defaults are made of. */
interface HostFacts {
  readonly home: string | undefined;
  /** Memory that a daemon may use. */
  readonly memoryBytes: number;
}

/** Everything that `holdfast config` shows. */
export function configurationOf(
  settings: Settings,
  files: readonly ConfigurationFile[],
  { environment, executableDirectory, ...host }: Pick<VerbContext, 'environment' | 'executableDirectory'> & HostFacts,
): ShownConfiguration {
  return {
    version,
    profile: settings.profile.name,
    files: files.map((file) => ({ path: join(executableDirectory, file.name), state: stateOf(file) })),
    settings: [
      ...optionNames.filter((name) => options[name].mode !== 'select').map((name) => settingOf(name, settings, host)),
      {
        name: 'log level',
        value: levelNamed(environment.CLAUSTRUM_LOG_LEVEL),
        source: environment.CLAUSTRUM_LOG_LEVEL === undefined ? 'default' : 'CLAUSTRUM_LOG_LEVEL',
      },
    ],
    timers: timersOf(settings),
    warnings: settings.warnings.map(({ text }) => text),
  };
}

function stateOf({ isThere, values, refusals }: ConfigurationFile): string {
  if (!isThere) {
    return 'not there';
  }
  if (refusals.some(({ option }) => option === undefined)) {
    return 'ignored';
  }
  return `${Object.keys(values).length} value(s) read, ${refusals.length} refused`;
}

function settingOf(name: OptionName, settings: Settings, { home, memoryBytes }: HostFacts): ShownSetting {
  const { value, source } = settings.effective[name];
  if (name === 'git-timeout' && value === undefined) {
    return { name, value: durationText(settings.gitTimeoutMs), source: `profile ${settings.profile.name}` };
  }
  if (name === 'memory-budget' && value === undefined) {
    return { name, value: String(defaultMemoryBudget(memoryBytes)), source: 'default for this host' };
  }
  if (name === 'mark-children' && value === undefined) {
    return {
      name,
      value: String(settings.durable || settings.reapTree),
      source: 'default for durable and reap-tree',
    };
  }
  if (name === 'cli-dir' && (value ?? '') === '' && home !== undefined) {
    return { name, value: defaultCliFolder(home), source: 'default' };
  }
  return { name, value: valueText(name, value), source };
}

function valueText(name: OptionName, value: unknown): string {
  const { kind }: Option<unknown> = options[name];
  if (value === undefined) {
    return '';
  }
  if (kind.placeholder === 'duration') {
    return durationText(value as number);
  }
  if (name === 'wire-profile') {
    return (value as Profile).name;
  }
  return withoutCredentials(String(value));
}

/** An address may carry a password before its host, and a signature in its query. */
function withoutCredentials(value: string): string {
  return value
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1[redacted]@')
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^?#]*)\?[^#]*/i, '$1?[redacted]');
}

function timersOf({ profile }: Settings): ShownTimer[] {
  const ofProfile: Record<string, readonly [milliseconds: number, meaning: string]> = {
    launcherWait: [profile.modes.launcherWaitMs, `-serve waits for the daemon (profile ${profile.name})`],
    idleClose: [profile.wire.idleCloseMs, `an idle connection is closed (profile ${profile.name}; 0: never)`],
  };
  return [
    ...described(timings, timerTexts, ''),
    ...Object.entries(ofProfile).map(([name, [milliseconds, meaning]]) => ({ name, milliseconds, meaning })),
    ...described(stopTimings, stopTimerTexts, 'stop.'),
    ...described(installTimings, installTimerTexts, 'install.'),
  ];
}

/** @param prefix of the names: those of one table are told from another's by it */
function described<Name extends string>(
  values: Readonly<Record<Name, number>>,
  texts: Readonly<Record<Name, string>>,
  prefix: string,
): ShownTimer[] {
  return (Object.keys(texts) as Name[]).map((name) => ({
    name: `${prefix}${name.replace(/Ms$/, '')}`,
    milliseconds: values[name],
    meaning: texts[name],
  }));
}

/** As a configuration file takes it. */
function durationText(milliseconds: number): string {
  if (milliseconds === 0) {
    return '0';
  }
  return milliseconds % 1000 === 0 ? goDuration(milliseconds) : `${milliseconds}ms`;
}

function text(shown: ShownConfiguration): string {
  const lines = [
    `holdfast ${shown.version}: what a start would use`,
    '',
    ...table(shown.files.map(({ path, state }) => [path, state])),
    '',
    ...table([
      ['setting', 'value', 'from'],
      ...shown.settings.map(({ name, value, source }) => [name, value || '-', source]),
    ]),
    '',
    ...table([
      ['timer', 'is', 'for'],
      ...shown.timers.map(({ name, milliseconds, meaning }) => [name, durationText(milliseconds), meaning]),
    ]),
  ];
  if (shown.warnings.length > 0) {
    lines.push('', 'Warnings:', ...shown.warnings.map((warning) => `  ${printable(warning)}`));
  }
  return `${lines.join('\n')}\n`;
}

function table(rows: readonly (readonly string[])[]): string[] {
  const safe = rows.map((row) => row.map((cell) => printable(cell)));
  const widths = safe[0]?.map((_, column) => Math.max(...safe.map((row) => row[column]?.length ?? 0))) ?? [];
  return safe.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
