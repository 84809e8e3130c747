/**
 * The command line of the mesh door (spec mesh.md §2): `holdfast mesh [verb] …`, which is `claudemesh daemon [verb] …`, and
 * `holdfast mesh send …`, which is `claudemesh send …`.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { ClientPlatform, Platform } from '../../../platform/platform.ts';
import { messageOf } from '../../base/error-texts.ts';
import { printable } from '../../base/printable.ts';
import { type MeshFolders, meshFolders } from './folders.ts';
import { jsonLine } from './log.ts';
import { exitCodes, MeshRefusal } from './refusal.ts';

export interface MeshContext {
  /** The environment the user started us with. */
  readonly environment: NodeJS.ProcessEnv;
  platform(): Promise<Platform>;
  clientPlatform(): Promise<ClientPlatform>;
  print(text: string): void;
  complain(text: string): void;
  /** Signals that ask us to end, by name. */
  onEndRequest(callback: (signal: string) => void): void;
}

/** What a verb is given. */
export interface VerbCall {
  readonly context: MeshContext;
  readonly folders: MeshFolders;
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
  readonly words: readonly string[];
  readonly isJson: boolean;
  /** Prints `plain` with a newline, or the other form where `--json` asks for it. */
  tell(plain: string, json: object): void;
}

interface VerbRow {
  readonly options: NonNullable<ParseArgsConfig['options']>;
  readonly help: string;
  load(): Promise<(call: VerbCall) => Promise<number>>;
}

const text = { type: 'string' } as const;
const yes = { type: 'boolean' } as const;

/** In the order of the usage line; `send` is a command of its own. */
const verbs: Readonly<Record<string, VerbRow>> = {
  up: {
    options: {
      ...{ mesh: text, name: text, 'no-tcp': yes, tcp: yes, 'public-health': yes },
      ...{ 'clone-policy': text, foreground: yes },
    },
    help: '[--mesh <slug>] [--name <display>] [--no-tcp | --tcp] [--public-health] [--clone-policy refuse|warn|allow]',
    load: async () => (await import('./verbs/up.ts')).up,
  },
  status: { options: {}, help: '[--json]', load: async () => (await import('./verbs/status.ts')).status },
  version: { options: {}, help: '[--json]', load: async () => (await import('./verbs/version.ts')).version },
  down: { options: {}, help: '[--json]', load: async () => (await import('./verbs/down.ts')).down },
  'accept-host': {
    options: {},
    help: '[--json]',
    load: async () => (await import('./verbs/accept-host.ts')).acceptHost,
  },
  outbox: {
    options: {
      ...{ failed: yes, pending: yes, inflight: yes, done: yes, aborted: yes },
      'new-client-id': text,
    },
    help: '[list] [--failed | --pending | --inflight | --done | --aborted] [--json], or requeue <id> [--new-client-id <id>] [--json]',
    load: async () => (await import('./verbs/outbox.ts')).outbox,
  },
  'install-service': {
    options: { mesh: text, name: text, 'allow-ci-persistent': yes },
    help: '--mesh <slug> [--name <display>] [--allow-ci-persistent] [--json]',
    load: async () => (await import('./verbs/service.ts')).installService,
  },
  'uninstall-service': {
    options: {},
    help: '[--json]',
    load: async () => (await import('./verbs/service.ts')).uninstallService,
  },
};

const sendRow: VerbRow = {
  options: { mesh: text, priority: text, self: yes },
  help: '<to> <message> [--mesh <slug>] [--priority now|next|low] [--self] [--json]',
  load: async () => (await import('./verbs/send.ts')).send,
};

const aliases: Readonly<Record<string, string>> = { start: 'up', stop: 'down' };
const verbsUsage =
  'usage: claudemesh daemon [up|status|version|down|accept-host|outbox|install-service|uninstall-service]';

const helpWords: readonly string[] = ['-h', '--help', 'help'];
const programUsage = 'usage: claudemesh daemon [verb] [flags]\n       claudemesh send <to> <message> [flags]';

/** @param words behind `holdfast mesh` @returns the exit code */
export function runMeshWords(words: readonly string[], context: MeshContext): Promise<number> {
  return words[0] === 'send'
    ? runVerb('claudemesh send', sendRow, words.slice(1), context)
    : runDaemonWords(words, context);
}

/** @param words behind `claudemesh` @returns the exit code */
export async function runClaudemeshWords([first, ...rest]: readonly string[], context: MeshContext): Promise<number> {
  switch (first) {
    case 'daemon':
      return runDaemonWords(rest, context);
    case 'send':
      return runVerb('claudemesh send', sendRow, rest, context);
    case '-h':
    case '--help':
      context.print(`${programUsage}\n`);
      return 0;
    default:
      if (first !== undefined) {
        context.complain(`claudemesh ${printable(first)}: only the daemon and send are here; see docs/mesh.md\n`);
      }
      context.complain(`${programUsage}\n`);
      return exitCodes.usage;
  }
}

async function runDaemonWords(words: readonly string[], context: MeshContext): Promise<number> {
  if (helpWords.includes(words[0] ?? '')) {
    const rows = Object.entries({ ...verbs, send: sendRow }).map(([name, { help }]) => `  ${name} ${help}\n`);
    context.print(`${programUsage}\n\n${rows.join('')}`);
    return 0;
  }
  // Flags alone are those of `up`.
  const [first = 'up', ...rest] = words[0]?.startsWith('-') ? ['up', ...words] : words;
  const name = Object.hasOwn(aliases, first) ? (aliases[first] ?? first) : first;
  const row = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (row === undefined) {
    context.complain(`unknown daemon subcommand: ${printable(first)}\n${verbsUsage}\n`);
    return exitCodes.usage;
  }
  return runVerb(`claudemesh daemon ${name}`, row, rest, context);
}

async function runVerb(name: string, row: VerbRow, words: readonly string[], context: MeshContext): Promise<number> {
  try {
    const { values, positionals } = parsed(name, row, words);
    if (values.help === true) {
      context.print(`usage: ${name} ${row.help}\n`);
      return 0;
    }
    const { user } = await context.clientPlatform();
    const folders = meshFolders(context.environment, user.home());
    if (folders === undefined) {
      throw new MeshRefusal(
        `cannot resolve home directory: ${user.homeVariable} is not defined; set it, or CLAUDEMESH_CONFIG_DIR`,
        exitCodes.failed,
      );
    }
    const verb = await row.load();
    const isJson = values.json === true;
    return await verb({
      ...{ context, folders, isJson, words: positionals },
      flags: values as VerbCall['flags'],
      tell: (plain, json) => context.print(`${isJson ? jsonLine(json) : plain}\n`),
    });
  } catch (error) {
    if (error instanceof MeshRefusal) {
      context.complain(`${error.message}\n`);
      return error.exitCode;
    }
    throw error;
  }
}

function parsed(name: string, row: VerbRow, words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      options: { ...row.options, json: yes, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    // Its first sentence names the flag; the rest is about programs that take such words.
    const reason = messageOf(error).split('. ')[0] ?? '';
    throw new MeshRefusal(`${printable(reason)}\nusage: ${name} ${row.help}`, exitCodes.usage);
  }
}
