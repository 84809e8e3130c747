/** A verb on another host: the same one is run there, through the user's own ssh, and answers in JSON (spec operators.md). */
import { HoldfastError } from '../client/index.ts';
import { runRemote } from '../client/remote-command.ts';
import type { DaemonWords } from './daemon-options.ts';

export interface AnswerFromThere {
  readonly document: unknown;
  /** Its own exit code: the verb has run. */
  readonly exitCode: number;
  /** What it said on stderr. */
  readonly notes: string;
}

/** A list of a thousand sessions has a megabyte. */
const mostBytes = 256 * 1024 * 1024;

/**
 * @param verb its name and options for there, without `--host`; `--json` is added
 * @param more options and words that come last
 * @throws HoldfastError `refused` when the host cannot be reached, or has no such verb
 */
export async function runThere(
  host: string,
  { sshCommand, socket }: Pick<DaemonWords, 'sshCommand' | 'socket'>,
  verb: readonly string[],
  environment: NodeJS.ProcessEnv,
  more: readonly string[] = [],
): Promise<AnswerFromThere> {
  const at = socket === undefined ? [] : ['--socket', socket];
  const { stdout, stderr, code } = await runRemote({
    destination: host,
    sshCommand,
    words: ['holdfast', ...verb, ...at, '--json', ...more],
    env: environment,
    mostBytes,
  });
  try {
    return { document: JSON.parse(stdout), exitCode: code, notes: stderr };
  } catch (cause) {
    const why = stderr.trim() || `exit code ${code}`;
    throw new HoldfastError(
      'refused',
      `holdfast ${verb[0]} on ${host} gave no answer (${why}); is holdfast there on the PATH, and as new as here?`,
      { cause },
    );
  }
}
