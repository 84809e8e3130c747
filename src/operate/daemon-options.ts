/** Which daemon a verb means, by the options that all verbs have in common (src/operate/commands/shared-rows.ts; spec client.md §5). */
import type { Variable } from '../../platform/started-with.ts';
import { ownCommand } from '../base/own-process.ts';
import type { TargetOptions } from '../client/index.ts';
import type { VerbContext } from './verbs.ts';

export interface DaemonWords {
  readonly host?: string | undefined;
  readonly sshCommand?: readonly string[];
  readonly socket?: string;
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
