/**
 * A script for `sh` on another host, whatever the login shell there is and prints. ssh gives one line to that shell, so the
 * script stands in single quotes and has nothing that fish or csh would read in them: no line end, `'`, `\` or `!`.
 * What it finds it tells in lines behind a mark that no greeting of a login can have by chance.
 */
import { randomBytes } from 'node:crypto';
import type { Writable } from 'node:stream';
import { HoldfastError } from '../../client/index.ts';
import { runRemote } from '../../client/remote-command.ts';
import type { VerbContext } from '../verbs.ts';

export interface RemoteHost {
  readonly destination: string;
  readonly sshCommand: readonly string[] | undefined;
  readonly environment: VerbContext['environment'];
}

/**
 * What a script has told: the last value of each name. Once it has ended, `stderr` is what was complained about there, and
 * `noise` what else came out of it: a line that the login prints also when nobody looks.
 */
export type Told = ReadonlyMap<string, string>;

export interface ScriptOptions {
  /** Told whenever there is more, with the standard input of the script, which whoever gives this ends. */
  readonly talk?: (told: Told, input: Writable) => void;
  readonly signal?: AbortSignal;
}

/** The host was reached, and what ran there was no `sh` of ours. */
class NoShell extends HoldfastError {}

export function isWithoutShell(error: unknown): boolean {
  return error instanceof NoShell;
}

/** `say <name> <text>` tells; `"$@"` are the arguments. Messages of the programs are English. */
const beginning = 'LC_ALL=C; export LC_ALL; M=$1; shift; say() { echo "$M $1=$2"; }; echo';
const ending = 'say end yes';
const mostBytes = 1024 * 1024;

/**
 * @param statements each in one line; a script that ends early says so itself
 * @throws HoldfastError `refused` when the host cannot be reached, or no `sh` answers there
 */
export async function runScript(
  { destination, sshCommand, environment: env }: RemoteHost,
  statements: readonly string[],
  args: readonly string[],
  { talk, signal }: ScriptOptions = {},
): Promise<Told> {
  const mark = `holdfast-${randomBytes(8).toString('hex')}`;
  const script = [beginning, ...statements, ending].join('; ');
  if (/['\\!\n]/.test(script)) {
    throw new Error('a script for another host has a character that some login shells do not take');
  }
  const { stdout, stderr, code } = await runRemote({
    ...{ destination, sshCommand, env, mostBytes, signal },
    words: ['sh', '-c', script, 'sh', mark, ...args],
    talk: talk === undefined ? undefined : (output, input) => talk(toldIn(output, mark), input),
  });
  const told = toldIn(stdout, mark);
  if (told.get('end') === undefined) {
    const why = stderr.trim() || stdout.trim() || `exit code ${code}`;
    throw new NoShell(
      'refused',
      `${destination} did not run our commands to their end (${why.slice(-500)}); it needs a login that may run sh`,
    );
  }
  return new Map([...told, ['stderr', stderr.trim()], ['noise', noiseIn(stdout, mark)]]);
}

function noiseIn(output: string, mark: string): string {
  const others = output.split('\n').map((line) => line.split(`${mark} `, 1)[0] ?? '');
  return others.find((line) => line.trim() !== '')?.trim() ?? '';
}

function toldIn(output: string, mark: string): Told {
  const told = new Map<string, string>();
  for (const line of output.split('\n').slice(0, -1)) {
    // A login may have printed something without a line end before.
    const at = line.indexOf(`${mark} `);
    const [, name, value] = at < 0 ? [] : (/^(\w+)=(.*)$/.exec(line.slice(at + mark.length + 1)) ?? []);
    if (name !== undefined && value !== undefined) {
      told.set(name, value.replace(/\r$/, ''));
    }
  }
  return told;
}
