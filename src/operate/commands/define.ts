/** From a row of the command table to the parser's command: options, help, and the way to the verb's work. */
import { type Command, Option } from 'commander';
import { valueReaders } from '../option-values.ts';
import type { VerbContext } from '../verbs.ts';
import { furtherHelp } from './further-help.ts';
import type { CommandRow, OptionRow } from './row.ts';

/** @param exit told the exit code of the verb, once its work is done */
export function defineCommand(
  command: Command,
  row: CommandRow,
  context: VerbContext,
  exit: (code: number) => void,
): void {
  // What goes wrong is one line, as with all failures of a verb.
  command.showSuggestionAfterError(false).configureOutput({
    outputError: (text, write) => write(text.replace(/^error: /, `holdfast ${command.name()}: `)),
  });
  if (row.usage !== undefined) {
    command.usage(row.usage);
  }
  for (const { name, help } of row.arguments) {
    command.argument(name, help);
  }
  for (const option of row.options) {
    command.addOption(optionOf(option));
  }
  command.addHelpText('after', furtherHelp(row));
  if (row.passesThrough === true) {
    command.passThroughOptions();
  }
  for (const [name, sub] of Object.entries(row.subcommands ?? {})) {
    defineCommand(plain(command.command(name), context).description(sub.summary), sub, context, exit);
  }
  const { load } = row;
  if (load !== undefined) {
    command.action(async () => {
      const verb = await load();
      exit(await verb(command.processedArgs.flat().filter(isText), command.opts() as never, context));
    });
  }
}

/** For a verb and each of its subcommands: throws instead of ending the process, and writes whole texts. */
export function plain(command: Command, context: Pick<VerbContext, 'print' | 'complain'>): Command {
  return command.exitOverride().configureOutput({ writeOut: context.print, writeErr: context.complain });
}

function optionOf({ flags, help, value, choices }: OptionRow): Option {
  const option = new Option(flags, help);
  if (choices !== undefined) {
    option.choices(choices);
  }
  return value === undefined ? option : option.argParser(valueReaders[value]);
}

function isText(word: unknown): word is string {
  return typeof word === 'string';
}
