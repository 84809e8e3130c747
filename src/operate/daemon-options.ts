/** The options by which a verb says which daemon it means, the same for every verb (spec operators.md, client.md §5). */
import { type Command, InvalidArgumentError } from 'commander';
import type { Variable } from '../../platform/started-with.ts';
import { ownCommand } from '../base/own-process.ts';
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
  { environment }: VerbContext,
  start: { readonly flags: readonly string[] } | undefined,
): TargetOptions {
  const common = { socket, start: start !== undefined, flags: start?.flags };
  if (host !== undefined) {
    return { ...common, env: environment, ssh: host, sshCommand: words };
  }
  // The start script of this program is no program on every system, so the daemon is started as we were.
  const { file, args, env } = ownCommand([], ownVariables(environment));
  return { ...common, program: [file, ...args], env: Object.fromEntries(env) };
}

function ownVariables(environment: NodeJS.ProcessEnv): Variable[] {
  return Object.entries(environment).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
}
