/** One command on another host, through the user's own ssh: it may ask for a passphrase at our terminal. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { codeOf, HoldfastError } from './errors.ts';

export interface RemoteCommand {
  /** As ssh takes it. */
  readonly destination: string;
  readonly sshCommand?: readonly string[] | undefined;
  readonly words: readonly string[];
  /** Spells one word for the shell there; omitted: a POSIX one. */
  readonly spell?: ((word: string) => string) | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** More output than that is none that was asked for. */
  readonly mostBytes: number;
  /**
   * Told all output so far whenever there is more, with the standard input of the command, which whoever gives this ends.
   * Without it the command has no input.
   */
  readonly talk?: ((outputSoFar: string, input: Writable) => void) | undefined;
  /** Ends the command. */
  readonly signal?: AbortSignal | undefined;
}

export interface RemoteResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Of the command there. */
  readonly code: number;
}

/** The exit code for its own failures. */
const sshFailed = 255;
const keptComplaint = 4_000;

/** @throws HoldfastError `refused` when the command was not run, or ended otherwise than by an exit code; `protocol`, `unsupported` */
export function runRemote(command: RemoteCommand): Promise<RemoteResult> {
  const { destination, sshCommand = ['ssh'], words, spell = shellWord, env, mostBytes, talk, signal } = command;
  checkDestination(destination);
  const [program = '', ...options] = sshCommand;
  return new Promise((resolve, reject) => {
    const args = [...options, destination, words.map(spell).join(' ')];
    const stdin = talk === undefined ? 'ignore' : 'pipe';
    const child = spawn(program, args, { stdio: [stdin, 'pipe', 'pipe'], env, windowsHide: true, signal });
    const { stdout, stderr: complaints, stdin: input } = child as typeof child & { stdout: Readable; stderr: Readable };
    // A command that ends before it has read its input tells why in its output.
    input?.on('error', () => {});
    const output: Buffer[] = [];
    let bytes = 0;
    let stderr = '';
    stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > mostBytes) {
        child.kill('SIGKILL');
        reject(new HoldfastError('protocol', `${destination} sent more than ${mostBytes} bytes`));
      } else {
        output.push(chunk);
        if (input !== null) {
          talk?.(Buffer.concat(output).toString(), input);
        }
      }
    });
    complaints.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-keptComplaint);
    });
    child.once('error', (cause) => {
      reject(
        signal?.aborted === true
          ? signal.reason
          : new HoldfastError('refused', `${program} cannot be run: ${codeOf(cause) ?? cause.message}`, { cause }),
      );
    });
    child.once('close', (code, signal) => {
      if (code === null || code === sshFailed) {
        const how = signal === null ? '' : `ended by ${signal}: `;
        reject(new HoldfastError('refused', `${destination} cannot be reached: ${how}${stderr.trim()}`));
      } else {
        resolve({ stdout: Buffer.concat(output).toString(), stderr, code });
      }
    });
  });
}

/**
 * A subsystem of the ssh server there, such as `sftp`, at the standard streams of the process that is returned.
 * @throws HoldfastError `unsupported` for what is no destination
 */
export function startSubsystem(
  { destination, sshCommand = ['ssh'], env }: Pick<RemoteCommand, 'destination' | 'sshCommand' | 'env'>,
  name: string,
): ChildProcessWithoutNullStreams {
  checkDestination(destination);
  const [program = '', ...options] = sshCommand;
  return spawn(program, [...options, '-s', destination, name], { stdio: 'pipe', env, windowsHide: true });
}

/** @throws HoldfastError for a text that ssh would take for an option */
export function checkDestination(destination: string): void {
  if (destination === '' || destination.startsWith('-')) {
    throw new HoldfastError('unsupported', `${JSON.stringify(destination)} is no ssh destination`);
  }
}

/** One word for a POSIX shell: ssh joins its arguments with spaces, and the shell there splits them again. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
