/** `holdfast <verb> …`: reads the words after the verb and runs it. Each verb is loaded only when it is chosen. */
import { Command, CommanderError } from 'commander';
import type { ClientPlatform, Platform } from '../../platform/platform.ts';
import { writeWhole } from '../base/standard-output.ts';
import { defineCommand, plain } from './commands/define.ts';
import { commandNames, commands } from './commands/table.ts';
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

const exitUsage = 2;

/** @returns the exit code; for words the verb does not know 2, or what the verb has in its place */
export async function runVerb(name: VerbName, words: readonly string[], context: VerbContext): Promise<number> {
  let exitCode = 0;
  const exit = (code: number): void => {
    exitCode = code;
  };
  const program = plain(new Command('holdfast'), context)
    .usage('<verb> [options]')
    .enablePositionalOptions()
    .description('Without a verb holdfast takes flags: see holdfast -help.')
    .helpCommand('help [verb]', 'show how a verb is used');
  for (const each of commandNames) {
    const row = commands[each];
    const command = plain(program.command(each), context).description(row.summary);
    // `help <verb>` is about a verb that is not the first word.
    if (each === name || words.includes(each)) {
      defineCommand(command, row, context, exit);
    }
  }
  try {
    await program.parseAsync([name, ...words], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      throw error;
    }
    const usageCode = name === 'help' ? undefined : commands[name].usageCode;
    return error.exitCode === 0 ? 0 : (usageCode ?? exitUsage);
  }
  return exitCode;
}

/** Where the texts go for a user at a terminal. */
export const standardOutput: Pick<VerbContext, 'print' | 'complain'> = {
  print: (text) => writeWhole(1, text),
  complain: (text) => writeWhole(2, text),
};
