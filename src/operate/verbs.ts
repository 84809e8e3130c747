/** `holdfast <verb> …`: reads the words after the verb and runs it. Each verb is loaded only when it is chosen. */
import { Command, CommanderError } from 'commander';
import type { ClientPlatform, Platform } from '../../platform/platform.ts';
import { writeWhole } from '../base/standard-output.ts';
import type { VerbName } from './verb-names.ts';

export interface VerbContext {
  /** The environment the user started us with. */
  readonly environment: NodeJS.ProcessEnv;
  /** Our name as the user typed it. */
  readonly programName: string;
  /** Folder of the executable: the configuration files lie there. */
  readonly executableDirectory: string;
  /** Loads the adapter on first use; later calls return the same one. */
  platform(): Promise<Platform>;
  /** The same for the small part that a client of the daemon needs. */
  clientPlatform(): Promise<ClientPlatform>;
  /** Takes a text for the user. */
  print(text: string): void;
  /** Takes a text about a failure. */
  complain(text: string): void;
}

/** Adds options, subcommands and `action` to the verb's command; every action resolves to the exit code. */
export type VerbDefinition = (command: Command, context: VerbContext, run: Run) => void;

/** Wraps the work of an action, so that its exit code is ours. */
export type Run = (work: () => Promise<number>) => Promise<void>;

interface VerbEntry {
  readonly summary: string;
  /** Exit code for words that the verb does not know; default 2. */
  readonly usageCode?: number;
  load(): Promise<VerbDefinition>;
}

const verbs: Record<Exclude<VerbName, 'help'>, VerbEntry> = {
  run: {
    summary: 'run a program under a daemon, here or on another host, as if it were a child of this process',
    // Codes below 125 are those of the program (spec client.md §5).
    usageCode: 125,
    load: async () => (await import('./run/run.ts')).defineRun,
  },
  attach: {
    summary: 'look at a session live, or take it over',
    load: async () => (await import('./attach.ts')).defineAttach,
  },
  logs: {
    summary: 'print what a session has written',
    load: async () => (await import('./logs.ts')).defineLogs,
  },
  status: {
    summary: 'one line about the daemon: address, pid, version, sessions',
    load: async () => (await import('./status.ts')).defineStatus,
  },
  token: {
    summary: 'print the token of the daemon at a socket',
    load: async () => (await import('./token.ts')).defineToken,
  },
  config: {
    summary: 'show the settings in force, where each comes from, and every timer',
    load: async () => (await import('./config.ts')).defineConfig,
  },
  service: {
    summary: 'start the daemon with the session of this user: install, remove, status',
    load: async () => (await import('./service.ts')).defineService,
  },
};

const exitUsage = 2;

/** @returns the exit code; for words the verb does not know 2, or what the verb has in its place */
export async function runVerb(name: VerbName, words: readonly string[], context: VerbContext): Promise<number> {
  let exitCode = 0;
  const run: Run = async (work) => {
    exitCode = await work();
  };
  const program = plain(new Command('holdfast'), context)
    .usage('<verb> [options]')
    .enablePositionalOptions()
    .description('Without a verb holdfast takes flags: see holdfast -help.')
    .helpCommand('help [verb]', 'show how a verb is used');
  for (const [each, { summary, load }] of Object.entries(verbs)) {
    const command = plain(program.command(each), context).description(summary);
    // `help <verb>` is about a verb that is not the first word.
    if (each === name || words.includes(each)) {
      (await load())(command, context, run);
    }
  }
  try {
    await program.parseAsync([name, ...words], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      throw error;
    }
    const usageCode = name === 'help' ? undefined : verbs[name].usageCode;
    return error.exitCode === 0 ? 0 : (usageCode ?? exitUsage);
  }
  return exitCode;
}

/** For a verb and each of its subcommands: throws instead of ending the process, and writes whole texts. */
export function plain(command: Command, context: Pick<VerbContext, 'print' | 'complain'>): Command {
  return command.exitOverride().configureOutput({ writeOut: context.print, writeErr: context.complain });
}

/** Where the texts go for a user at a terminal. */
export const standardOutput: Pick<VerbContext, 'print' | 'complain'> = {
  print: (text) => writeWhole(1, text),
  complain: (text) => writeWhole(2, text),
};
