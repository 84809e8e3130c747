/**
 * `holdfast service install|remove|status`: the daemon without anybody's login, for hosts nobody reaches by ssh first.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { HostError } from '../../platform/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import type { ServiceKind, ServiceManager } from '../../platform/service-manager.ts';
import { messageOf } from '../base/error-texts.ts';
import { ownStart, programFile } from '../base/own-program.ts';
import { printable } from '../base/printable.ts';
import type { CommandResult } from '../base/run-command.ts';
import { forShell, isForeignDefinition, runManagerCommand, writeDefinition } from '../base/service-definition.ts';
import { readConfigurationFiles } from '../config/configuration-file.ts';
import { parseFlags } from '../config/flags.ts';
import type { OptionValues } from '../config/options.ts';
import { mergeSettings, withDefaultSocket } from '../config/settings.ts';
import { defaultSocketPath, tokenFileName } from '../run-directory/names.ts';
import { printJson } from './answer.ts';
import type { Verb } from './commands/row.ts';
import { startDaemonWithToken } from './start-daemon.ts';
import type { VerbContext } from './verbs.ts';

const exitFailed = 1;
const exitUsage = 2;
/** The exit code of systemctl for a unit that does not run. */
const exitNotRunning = 3;
const tokenBytes = 32;

/** A failure that the user can do something about, told in one line. */
class Refusal extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

interface ServiceWords {
  readonly dryRun?: boolean;
  readonly print?: boolean;
  readonly agent?: boolean;
  readonly config?: string;
  readonly json?: boolean;
}

/** The schema is docs/schemas/service.json. */
interface ServiceRow {
  readonly kind: ServiceKind;
  readonly manager: string;
  /** Its path. */
  readonly definition: string;
  readonly state: 'planned' | 'installed' | 'removed' | 'absent' | 'running' | 'stopped';
  /** Of what is planned: what would be written, and run. */
  readonly text?: string;
  readonly commands?: readonly (readonly string[])[];
  /** Of what is there: whether we have written it, and what the manager says. */
  readonly isOurs?: boolean;
  readonly told?: string;
}

type Tell = (what: Omit<ServiceRow, 'kind' | 'manager' | 'definition'>, text: string) => void;

function teller(kind: ServiceKind, { manager, path }: Place, { json }: ServiceWords, context: VerbContext): Tell {
  return (what, text) => {
    if (json === true) {
      printJson(context, { kind, manager: manager.name, definition: path, ...what });
    } else {
      context.print(text);
    }
  };
}

export const install: Verb<ServiceWords> = (flags, words, context) =>
  refusing(async () => {
    const service = words.agent === true ? agentService(flags, words) : await daemonService(flags, words, context);
    return installService(service, words, context);
  }, context);
export const remove: Verb<ServiceWords> = (_, words, context) =>
  refusing(() => removeService(words.agent === true ? 'agent' : 'daemon', words, context), context);
export const status: Verb<ServiceWords> = (_, words, context) =>
  refusing(() => serviceStatus(words.agent === true ? 'agent' : 'daemon', words, context), context);
export const start: Verb<ServiceWords> = (flags, _, context) => refusing(() => startDaemon(flags, context), context);

function refusing(work: () => Promise<number>, context: VerbContext): Promise<number> {
  return work().catch((error) => refused(error, context));
}

function refused(error: unknown, { complain }: VerbContext): number {
  if (error instanceof Refusal) {
    complain(`holdfast service: ${error.message}\n`);
    return error.exitCode;
  }
  if (error instanceof HostError) {
    complain(`holdfast service: ${error.message}${error.remedy === '' ? '' : `; ${error.remedy}`}\n`);
    return exitFailed;
  }
  throw error;
}

// ---- install

/** What is to be run as a service. */
interface Service {
  readonly kind: 'daemon' | 'agent';
  /** Behind our own program. */
  readonly words: readonly string[];
  readonly keepsChildren: boolean;
  readonly workingFolder: string | undefined;
}

async function daemonService(
  words: readonly string[],
  { config }: ServiceWords,
  context: VerbContext,
): Promise<Service> {
  if (config !== undefined) {
    throw new Refusal('--config goes with --agent; flags of the daemon go behind --', exitUsage);
  }
  const { given, flags } = serveFlags(words, await context.platform());
  const settings = mergeSettings(given, readConfigurationFiles(context.executableDirectory));
  const keepsChildren = settings.keepChildren || settings.durable;
  return { kind: 'daemon', words: ['service', 'start', '--', ...flags], keepsChildren, workingFolder: undefined };
}

/** Its settings come from a file: what this shell has in its environment is nothing to a service manager. */
function agentService(words: readonly string[], { config = 'config.json' }: ServiceWords): Service {
  if (words.length > 0) {
    throw new Refusal(`an agent takes no flags, only --config <file>; got ${printable(words.join(' '))}`, exitUsage);
  }
  const file = resolve(config);
  let keepsChildren: boolean;
  try {
    keepsChildren = (JSON.parse(readFileSync(file, 'utf8')) as { readonly onStop?: unknown }).onStop === 'keep';
  } catch (error) {
    // What a parser says may show the token.
    const why = error instanceof SyntaxError ? 'it is not valid JSON' : printable(messageOf(error));
    throw new Refusal(
      `${printable(file)} cannot be used: ${why}; name the settings of the agent with --config <file> (docs/agent.md)`,
      exitFailed,
    );
  }
  return { kind: 'agent', words: ['agent', '--config', file], keepsChildren, workingFolder: dirname(file) };
}

const names: Readonly<Record<'daemon' | 'agent', string>> = { daemon: 'The daemon', agent: 'The agent' };

async function installService(
  { kind, words, keepsChildren, workingFolder }: Service,
  asked: ServiceWords,
  context: VerbContext,
): Promise<number> {
  const place = await placeOf(kind, context);
  const tell = teller(kind, place, asked, context);
  const { manager, path, platform } = place;
  const command = [...programWords(platform), ...words];
  const definition = manager.definition({ command, keepsChildren, workingFolder });
  const commands = manager.installCommands(path);
  const before = existsSync(path) ? manager.replaceCommands(path) : [];
  if (asked.print === true || asked.dryRun === true) {
    const all = [...before, ...commands];
    const text = asked.print === true ? definition : `${path}:\n\n${definition}\n${all.map(shown).join('')}`;
    tell({ state: 'planned', text: definition, commands: all }, text);
    return 0;
  }
  refuseForeign(path, manager);
  await requireManager(place, command);
  for (const each of before) {
    await runPlain(each, place);
  }
  writeDefinition(path, definition);
  for (const each of commands) {
    await runOrRefuse(each, place);
  }
  const hint = manager.hint === '' ? '' : `${capitalized(manager.hint)}\n`;
  tell(
    { state: 'installed', isOurs: true },
    `${names[kind]} runs, and ${manager.name} starts it from now on: ${path}\n${hint}`,
  );
  return 0;
}

/** A start script is no program where programs have an ending of their own (Windows): there we are started as we were. */
function programWords({ paths }: Pick<Platform, 'paths'>): readonly string[] {
  const { file, words } = ownStart();
  return paths.programSuffix === '' ? [programFile()] : [file, ...words];
}

/** A socket path that is relative would mean another folder to the service. */
function serveFlags(
  words: readonly string[],
  platform: Platform,
): { readonly given: Partial<OptionValues>; readonly flags: readonly string[] } {
  const parsed = parseFlags(words);
  if (parsed.outcome !== 'parsed' || parsed.rest.length > 0) {
    const reason = parsed.outcome === 'failed' ? parsed.message : 'want flags after --, as holdfast -serve takes them';
    throw new Refusal(reason, exitUsage);
  }
  const { given } = parsed;
  for (const name of [
    'token-file',
    'token-fd',
    'serve',
    'bridge',
    'stop',
    'install',
    'version',
    'probe-cli',
  ] as const) {
    if (given[name] !== undefined) {
      throw new Refusal(
        `-${name} is not for a service: it starts the daemon with a token of its own, which is in ${tokenFileName}`,
        exitUsage,
      );
    }
  }
  if (given.socket === undefined) {
    return { given, flags: words };
  }
  const socket = resolve(platform.paths.expandTilde(given.socket));
  if (socket === given.socket) {
    return { given, flags: words };
  }
  // A flag that is given twice has the last value, so the resolved path is appended.
  return { given: { ...given, socket }, flags: [...words, '-socket', socket] };
}

// ---- remove and status

async function removeService(kind: 'daemon' | 'agent', asked: ServiceWords, context: VerbContext): Promise<number> {
  const place = await placeOf(kind, context);
  const tell = teller(kind, place, asked, context);
  const { manager, path } = place;
  const commands = manager.removeCommands(path);
  if (asked.dryRun === true) {
    tell({ state: 'planned', commands }, `${commands.map(shown).join('')}remove ${path}\n`);
    return 0;
  }
  if (!existsSync(path)) {
    tell({ state: 'absent' }, `Nothing to remove: there is no ${path}\n`);
    return 0;
  }
  refuseForeign(path, manager);
  await requireManager(place, undefined);
  for (const each of commands) {
    await runOrRefuse(each, place);
  }
  rmSync(path);
  tell({ state: 'removed' }, `${names[kind]} has ended, and ${manager.name} starts it no more: ${path} is removed\n`);
  return 0;
}

async function serviceStatus(kind: ServiceKind, asked: ServiceWords, context: VerbContext): Promise<number> {
  const place = await placeOf(kind, context);
  const tell = teller(kind, place, asked, context);
  const { manager, path } = place;
  if (!existsSync(path)) {
    tell({ state: 'absent' }, `Not installed: there is no ${path}\n`);
    return exitNotRunning;
  }
  const isOurs = !isForeignDefinition(path, manager);
  const what = `${isOurs ? 'Installed' : 'Somebody else’s definition'}: ${path}\n`;
  try {
    await requireManager(place, undefined);
  } catch (error) {
    if (asked.json !== true) {
      context.print(what);
    }
    throw error;
  }
  const { stdout, stderr, exit } = await runPlain(manager.statusCommand, place);
  const told = readable(Buffer.concat([stdout, stderr]));
  const isRunning = exit?.code === 0;
  tell({ state: isRunning ? 'running' : 'stopped', isOurs, told }, `${what}${told}`);
  return isRunning ? 0 : exitNotRunning;
}

// ---- start

/** Runs from the definition, in the background of nobody: a launcher with a token that only this user can read. */
async function startDaemon(words: readonly string[], context: VerbContext): Promise<number> {
  const platform = await context.platform();
  const { given } = serveFlags(words, platform);
  const home = platform.host.home();
  const merged = mergeSettings(given, readConfigurationFiles(context.executableDirectory));
  const settings = home === undefined ? merged : withDefaultSocket(merged, defaultSocketPath(home));
  const folder = platform.paths.directoryOf(settings.socketPath);
  const token = randomBytes(tokenBytes).toString('hex');
  const failure = await startDaemonWithToken(platform, folder, token, words);
  if (failure !== undefined) {
    context.complain(`${readable(Buffer.from(failure))}\n`);
    return exitFailed;
  }
  return 0;
}

// ---- the manager

interface Place {
  readonly platform: Platform;
  readonly manager: ServiceManager;
  /** Of the definition. */
  readonly path: string;
  readonly environment: NodeJS.ProcessEnv;
}

async function placeOf(kind: ServiceKind, { platform: load, environment }: VerbContext): Promise<Place> {
  const platform = await load();
  const manager = await platform.host.serviceManager(kind);
  if (manager === undefined) {
    throw new Refusal(
      'there is no service manager for users here; let the scheduler of tasks run holdfast -serve',
      exitFailed,
    );
  }
  const home = platform.host.home();
  if (home === undefined) {
    throw new Refusal(`cannot resolve home directory: ${platform.host.homeVariable} is not defined`, exitFailed);
  }
  return { platform, manager, path: manager.definitionPath(home, environment), environment };
}

/** Before anything is changed. */
async function requireManager(place: Place, command: readonly string[] | undefined): Promise<void> {
  const { manager } = place;
  const result = await runPlain(manager.probe, place);
  if (result.exit?.code === 0) {
    return;
  }
  const reason = readable(result.combined).trim() || result.failure;
  const instead =
    command === undefined
      ? ''
      : `; instead, for example, a line for crontab -e: @reboot ${command.map(forShell).join(' ')}`;
  throw new Refusal(`${manager.name} cannot be used here: ${reason}${instead}`, exitFailed);
}

async function runOrRefuse(command: readonly string[], place: Place): Promise<void> {
  const result = await runPlain(command, place);
  if (result.exit?.code === 0) {
    return;
  }
  const reason = readable(result.combined).trim() || result.failure;
  throw new Refusal(`${shown(command).trim()}: ${reason}`, exitFailed);
}

function runPlain(command: readonly string[], { platform, environment }: Place): Promise<CommandResult> {
  return runManagerCommand(command, platform, environment);
}

function refuseForeign(path: string, manager: ServiceManager): void {
  if (isForeignDefinition(path, manager)) {
    throw new Refusal(`${path} was not written by holdfast; move it away first`, exitFailed);
  }
}

/** Lines of another program, made safe for a terminal. */
function readable(output: Buffer): string {
  return output
    .toString('utf8')
    .split('\n')
    .map((line) => printable(line))
    .join('\n');
}

function shown(command: readonly string[]): string {
  return `run ${command.map(forShell).join(' ')}\n`;
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
