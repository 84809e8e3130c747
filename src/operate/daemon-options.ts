/** The options by which a verb says which daemon it means, the same for every verb (spec operators.md, client.md §5). */
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { TargetOptions } from '../client/index.ts';
import { splitWords } from './option-values.ts';
import type { VerbContext } from './verbs.ts';

export interface DaemonWords {
  readonly host?: string;
  readonly sshCommand?: readonly string[];
  readonly socket?: string;
}

export function addDaemonOptions(command: Command): Command {
  return command
    .option('--host <ssh destination>', 'the daemon of that host, through your own ssh (default: this machine)')
    .option('--ssh-command <words>', 'what to run for ssh, e.g. "ssh -p 2222"', sshCommand)
    .option('--socket <path>', 'socket of the daemon, there (default: ~/.claude/remote/rpc.sock)');
}

function sshCommand(text: string): string[] {
  try {
    const words = splitWords(text);
    if (words.length > 0) {
      return words;
    }
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  throw new InvalidArgumentError('it is empty; give the program and its options, e.g. "ssh -p 2222"');
}

/** @param start whether a daemon is started when nobody answers, and with which flags */
export function targetOptions(
  { host, sshCommand: words, socket }: DaemonWords,
  { environment, executableDirectory }: VerbContext,
  start: { readonly flags: readonly string[] } | undefined,
): TargetOptions {
  const common = {
    socket,
    env: environment,
    start: start !== undefined,
    flags: start?.flags,
  };
  return host === undefined
    ? { ...common, program: join(executableDirectory, 'holdfast') }
    : { ...common, ssh: host, sshCommand: words };
}
