/**
 * What an agent is told: a configuration file and the environment, which beats it key by key (spec agent.md §3).
 * Every fault is found before the agent ends, not only the first.
 */
import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { messageOf } from '../../base/error-texts.ts';
import { printable } from '../../base/printable.ts';

/** Times are in milliseconds. */
export interface AgentSettings {
  /** With the path prefix of the server, without a slash at the end. */
  readonly serverUrl: string;
  readonly agentToken: string;
  readonly pollInterval: number;
  readonly outputFlushInterval: number;
  readonly maxConcurrentSessions: number;
  readonly statusInterval: number;
  /** The agent CLI: a name that is looked for on the PATH, or a path. */
  readonly claudeCommand: string;
  readonly claudeArgs: readonly string[];
  readonly inputFormat: 'stream-json' | 'text';
  /** A session's working folder must be one of these, or below one. */
  readonly allowedRoots: readonly string[];
  /** What the host daemon keeps of a session beyond its window, in bytes. */
  readonly spoolBytes: number;
  /** Socket path of the host daemon. */
  readonly socket: string;
  readonly onStop: 'terminate' | 'keep';
  readonly stateDir: string;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

export type SettingName = keyof AgentSettings;

export interface SettingsRead {
  readonly warnings: readonly string[];
  /** Whole lines for the user; with one of them there are no settings. */
  readonly faults: readonly string[];
  readonly settings: AgentSettings | undefined;
  /** For the log: the file as it was named, or the environment. */
  readonly source: string;
}

export interface SettingsSources {
  /** As `--config` has it; `undefined`: `config.json` in the working folder, if there is one. */
  readonly file: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
  readonly workingFolder: string;
  mayOthersRead(path: string): boolean;
  /** `undefined`: unknown, then `stateDir` must be given. */
  readonly home: string | undefined;
}

/** What a row makes of a value that was given; a text says what is wrong with it. */
type Reading = { readonly value: unknown; readonly warning?: string } | { readonly fault: string };

interface Row {
  /** Environment variable; `undefined`: only the file has it. */
  readonly variable: string | undefined;
  /** What the help says about the default. */
  readonly shownDefault: string;
  /** @param isFromFile there a number is a number, and digits in quotes are worth a warning */
  read(given: unknown, isFromFile: boolean): Reading;
}

const defaultFile = 'config.json';
const loopbackHosts: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];
/** Arguments that make the agent CLI read and write JSON lines. */
const streamJsonArgs = ['--print', '--input-format', 'stream-json', '--output-format', 'stream-json', '--verbose'];

const mebibyte = 1024 * 1024;

/** In the order of the page, which is that of the faults. */
const rows: Readonly<Record<SettingName, Row>> = {
  serverUrl: { variable: 'SERVER_URL', shownDefault: 'required', read: readUrl },
  agentToken: { variable: 'AGENT_TOKEN', shownDefault: 'required', read: readToken },
  pollInterval: integer('POLL_INTERVAL', 5000, 100, 3_600_000, ' ms'),
  outputFlushInterval: integer('OUTPUT_FLUSH_INTERVAL', 1000, 10, 60_000, ' ms'),
  maxConcurrentSessions: integer('MAX_CONCURRENT_SESSIONS', 5, 1, 100),
  statusInterval: integer('STATUS_INTERVAL', 30_000, 1000, 3_600_000, ' ms'),
  claudeCommand: { variable: 'CLAUDE_COMMAND', shownDefault: 'claude', read: readProgram },
  claudeArgs: { variable: undefined, shownDefault: 'those of the input format', read: readArgs },
  inputFormat: choice('INPUT_FORMAT', 'stream-json', ['stream-json', 'text']),
  allowedRoots: { variable: 'ALLOWED_ROOTS', shownDefault: 'the working folder', read: readRoots },
  spoolBytes: integer('SPOOL_BYTES', 256 * mebibyte, 16 * mebibyte, 1024 * 1024 * mebibyte),
  socket: { variable: 'HOLDFAST_SOCKET', shownDefault: '<stateDir>/run/rpc.sock', read: readPath },
  onStop: choice('ON_STOP', 'terminate', ['terminate', 'keep']),
  stateDir: { variable: 'STATE_DIR', shownDefault: '$XDG_STATE_HOME/claudios-agent', read: readPath },
  logLevel: choice('LOG_LEVEL', 'info', ['debug', 'info', 'warn', 'error']),
};

const names = Object.keys(rows) as SettingName[];

const pathReaders: readonly Row['read'][] = [readPath, readRoots, readProgram];

/** Of the environment: what becomes a path. */
export const pathVariables: readonly string[] = ['HOME', 'XDG_STATE_HOME'].concat(
  Object.values(rows).flatMap(({ variable, read }) =>
    variable !== undefined && pathReaders.includes(read) ? [variable] : [],
  ),
);

/** For the help: each setting with its variable and its default. */
export const settingTexts: readonly (readonly [name: string, variable: string, shownDefault: string])[] = names.map(
  (name) => [name, rows[name].variable ?? '', rows[name].shownDefault],
);

export function readSettings(sources: SettingsSources): SettingsRead {
  const warnings: string[] = [];
  const faults: string[] = [];
  const file = readFile(sources, warnings, faults);
  const hasFileFault = faults.length > 0;
  const given: Partial<Record<SettingName, unknown>> = {};
  for (const name of names) {
    const { variable, read } = rows[name];
    const fromEnvironment = variable === undefined ? undefined : sources.environment[variable];
    const value = fromEnvironment ?? file?.values[name];
    if (value === undefined || value === '') {
      continue;
    }
    const reading = read(value, fromEnvironment === undefined);
    if ('fault' in reading) {
      faults.push(`Invalid configuration: ${name} ${reading.fault}`);
    } else {
      given[name] = reading.value;
      if (reading.warning !== undefined) {
        warnings.push(`${name} ${reading.warning}`);
      }
    }
  }
  // What a file lacks that could not be read is not known.
  const wanted = hasFileFault ? [] : (['serverUrl', 'agentToken'] as const);
  for (const name of wanted) {
    if (given[name] === undefined && !faults.some((fault) => fault.startsWith(`Invalid configuration: ${name} `))) {
      faults.push(`Invalid configuration: ${name} is required`);
    }
  }
  const stateDir = (given.stateDir as string | undefined) ?? defaultStateFolder(sources);
  if (stateDir === undefined) {
    faults.push('Invalid configuration: stateDir is required, because neither XDG_STATE_HOME nor HOME is set');
  }
  if (file?.isReadableByOthers === true && file.values.agentToken !== undefined) {
    warnings.push(`${file.shown} is readable by other users`);
  }
  const source = file === undefined ? 'environment' : file.shown;
  if (faults.length > 0 || stateDir === undefined) {
    return { warnings, faults: inOrder(faults), settings: undefined, source };
  }
  const { serverUrl } = given as { serverUrl: string };
  if (serverUrl.startsWith('http:') && !isLoopback(serverUrl)) {
    warnings.push('serverUrl is not https; the agent token travels in clear');
  }
  return { warnings, faults, source, settings: withDefaults(given, stateDir, sources) };
}

function withDefaults(
  given: Partial<Record<SettingName, unknown>>,
  stateDir: string,
  { workingFolder }: SettingsSources,
): AgentSettings {
  const inputFormat = (given.inputFormat as AgentSettings['inputFormat'] | undefined) ?? 'stream-json';
  const defaults: Omit<AgentSettings, 'serverUrl' | 'agentToken'> = {
    pollInterval: 5000,
    outputFlushInterval: 1000,
    maxConcurrentSessions: 5,
    statusInterval: 30_000,
    claudeCommand: 'claude',
    claudeArgs: inputFormat === 'stream-json' ? streamJsonArgs : [],
    inputFormat,
    allowedRoots: [workingFolder],
    spoolBytes: 256 * mebibyte,
    socket: join(stateDir, 'run', 'rpc.sock'),
    onStop: 'terminate',
    stateDir,
    logLevel: 'info',
  };
  return { ...defaults, ...given, stateDir } as AgentSettings;
}

interface ConfigurationFile {
  /** As it was named. */
  readonly shown: string;
  readonly values: Readonly<Record<string, unknown>>;
  readonly isReadableByOthers: boolean;
}

/** `undefined`: there is none, or it cannot be used, which is a fault then. */
function readFile(
  { file, workingFolder, mayOthersRead }: SettingsSources,
  warnings: string[],
  faults: string[],
): ConfigurationFile | undefined {
  const shown = file ?? defaultFile;
  const path = resolve(workingFolder, shown);
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (file !== undefined || !isMissing) {
      const reason = isMissing ? 'no such file' : wordsOf(error);
      faults.push(`Cannot read configuration file ${printable(shown)}: ${reason}`);
    }
    return undefined;
  }
  if (!isUtf8(bytes)) {
    // Node would read another path, or another token, than the one that is written there.
    faults.push(`Configuration file ${printable(shown)} is not valid JSON: it is not UTF-8`);
    return undefined;
  }
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString().replace(/^\ufeff/, ''));
  } catch (error) {
    faults.push(`Configuration file ${printable(shown)} is not valid JSON: ${withoutContent(error)}`);
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    faults.push(`Configuration file ${printable(shown)} is not valid JSON: it must be one object`);
    return undefined;
  }
  for (const key of Object.keys(value)) {
    if (!names.includes(key as SettingName)) {
      warnings.push(`Unknown configuration key: ${printable(key, 200)}`);
    }
  }
  return { shown: printable(shown), values: value as Record<string, unknown>, isReadableByOthers: mayOthersRead(path) };
}

/** Node's words without the call and the path, which the line has already. */
function wordsOf(error: unknown): string {
  return messageOf(error)
    .replace(/^[A-Z0-9]+: /, '')
    .replace(/, .*$/, '');
}

/** The parser quotes what it has read, and a token may stand there. */
function withoutContent(error: unknown): string {
  const [, position] = /at position (\d+)/.exec(messageOf(error)) ?? [];
  return position === undefined ? 'unexpected end or token' : `unexpected token at position ${position}`;
}

/** The required settings first, as the page has them. */
function inOrder(faults: readonly string[]): readonly string[] {
  const place = (fault: string): number => {
    const at = names.findIndex((name) => fault.startsWith(`Invalid configuration: ${name} `));
    return at;
  };
  return [...faults].sort((a, b) => place(a) - place(b));
}

function defaultStateFolder({ environment, home, workingFolder }: SettingsSources): string | undefined {
  const state = environment.XDG_STATE_HOME ?? '';
  if (isAbsolute(state)) {
    return join(state, 'claudios-agent');
  }
  return home === undefined ? undefined : resolve(workingFolder, home, '.local', 'state', 'claudios-agent');
}

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return loopbackHosts.includes(hostname) || hostname.startsWith('127.');
}

// ---- values

function integer(variable: string, byDefault: number, least: number, most: number, unit = ''): Row {
  return {
    variable,
    shownDefault: `${byDefault}${unit}`,
    read(given, isFromFile) {
      const isText = typeof given === 'string';
      const value = isText && /^\d{1,15}$/.test(given.trim()) ? Number(given) : given;
      if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
        return { fault: `must be an integer between ${least} and ${most}` };
      }
      return isText && isFromFile ? { value, warning: 'is a number in quotes' } : { value };
    },
  };
}

function choice(variable: string, byDefault: string, values: readonly string[]): Row {
  return {
    variable,
    shownDefault: byDefault,
    read: (given) =>
      typeof given === 'string' && values.includes(given)
        ? { value: given }
        : { fault: `must be ${values.slice(0, -1).join(', ')} or ${values.at(-1)}` },
  };
}

function readUrl(given: unknown): Reading {
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    return { fault: 'must be an http or https URL' };
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    return { fault: 'must be an http or https URL without user, query and fragment' };
  }
  return { value: `${url.origin}${url.pathname}`.replace(/\/+$/, '') };
}

function readToken(given: unknown): Reading {
  const token = typeof given === 'string' ? given.trim() : '';
  if (!/^[\x21-\x7e]{8,512}$/.test(token)) {
    return { fault: 'must be 8 to 512 printable ASCII characters without space' };
  }
  return token === given ? { value: token } : { value: token, warning: 'has blanks at its ends; they are cut' };
}

function readProgram(given: unknown): Reading {
  return typeof given === 'string' && !given.includes('\0') ? { value: given } : { fault: 'must be a program' };
}

function readArgs(given: unknown): Reading {
  const isList = Array.isArray(given) && given.every((word) => typeof word === 'string' && !word.includes('\0'));
  return isList ? { value: given } : { fault: 'must be a list of strings' };
}

function readRoots(given: unknown): Reading {
  const roots = typeof given === 'string' ? given.split(delimiter).filter((root) => root !== '') : given;
  const areFolders =
    Array.isArray(roots) && roots.length > 0 && roots.every((root) => typeof root === 'string' && isAbsolute(root));
  return areFolders ? { value: roots } : { fault: 'must be absolute folders' };
}

function readPath(given: unknown): Reading {
  return typeof given === 'string' && isAbsolute(given) ? { value: given } : { fault: 'must be an absolute path' };
}
