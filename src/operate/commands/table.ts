/** The command table: every verb, in the order in which help, man page and completions show them. */
import type { VerbName } from '../verb-names.ts';
import { daemonCommands } from './daemon-commands.ts';
import { installCommands } from './install-commands.ts';
import { operatorsCommands } from './operators-commands.ts';
import type { CommandRow } from './row.ts';
import { sessionCommands } from './session-commands.ts';

export type CommandName = Exclude<VerbName, 'help'>;

export const commands: Readonly<Record<CommandName, CommandRow>> = {
  ...sessionCommands,
  ...operatorsCommands,
  ...daemonCommands,
  ...installCommands,
};

export const commandNames = Object.keys(commands) as CommandName[];
