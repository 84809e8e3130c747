/** Where a daemon is, and how to get its token and start it there: what differs between this machine and one behind ssh. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { codeOf, HoldfastError, messageOf } from './errors.ts';
import { checkDestination, shellWord } from './remote-command.ts';
import { commandDialer, type Dialer, socketDialer } from './transport.ts';

/** Where the daemon is, its token, and how it is started when nobody answers. */
export interface TargetOptions {
  /** Destination as ssh takes it: `user@box`, a name of `~/.ssh/config`. */
  readonly ssh?: string | undefined;
  /** The ssh program and options of it, default `['ssh']`. */
  readonly sshCommand?: readonly string[] | undefined;
  /** Path of the daemon's socket, there; default `~/.claude/remote/rpc.sock`. */
  readonly socket?: string | undefined;
  /** Name of a named pipe (Windows). */
  readonly pipe?: string | undefined;
  /** A program and its arguments whose standard streams lead to the daemon, as those of `holdfast -bridge` do. */
  readonly command?: readonly string[] | undefined;
  /** The program `holdfast`, there, or the words that start it; default `holdfast`, from the PATH. */
  readonly program?: string | readonly string[] | undefined;
  /** The token itself. It is never put into an argument list or an error. */
  readonly token?: string | undefined;
  /** A file of this machine with the token in its first line. */
  readonly tokenFile?: string | undefined;
  /** Start the daemon when nobody answers; default `true` with `ssh`, else `false`. */
  readonly start?: boolean | undefined;
  /** More flags for that start, e.g. `['-wire-profile', 'next']`. */
  readonly flags?: readonly string[] | undefined;
  /** Environment of the programs that are run for the connection; default that of this process. */
  readonly env?: NodeJS.ProcessEnv | undefined;
}

export interface Target {
  readonly dialer: Dialer;
  /** @throws HoldfastError `unauthorized` when there is none to be found */
  readToken(): Promise<string>;
  /** `undefined`: a daemon is not to be started, or nobody knows how. @returns the token it was given */
  readonly start: (() => Promise<string>) | undefined;
}

const tokenFileName = 'daemon.token';

/** @throws HoldfastError `unsupported` for options that contradict each other, and for an empty path */
export function targetOf(options: TargetOptions): Target {
  const { ssh, pipe, command, socket } = options;
  const ways = Object.entries({ ssh, pipe, command }).filter(([, value]) => value !== undefined);
  if (ways.length > 1) {
    const names = ways.map(([name]) => name).join(' and ');
    throw new HoldfastError('unsupported', `${names} are different ways to a daemon; pass one of them`);
  }
  if (options.token !== undefined && /[\r\n]/.test(options.token)) {
    throw new HoldfastError('unauthorized', 'the token has a line end in it; pass the first line only');
  }
  if (ssh !== undefined) {
    return sshTarget(ssh, options);
  }
  if (command !== undefined) {
    return {
      dialer: commandDialer(command, options.env),
      readToken: async () => givenToken(options) ?? noToken('a connection by command has no default token'),
      start: undefined,
    };
  }
  const path = pipe ?? socket ?? join(homedir(), '.claude', 'remote', 'rpc.sock');
  const tokenPath = join(dirname(path), tokenFileName);
  return {
    dialer: socketDialer(path),
    readToken: async () =>
      givenToken(options) ??
      (pipe === undefined ? readTokenFile(tokenPath) : noToken('a connection by pipe has no default token')),
    start: options.start === true && pipe === undefined ? () => startHere(path, options) : undefined,
  };
}

function givenToken({ token, tokenFile }: TargetOptions): string | undefined {
  return token ?? (tokenFile === undefined ? undefined : readTokenFile(tokenFile));
}

function readTokenFile(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    return noToken(`${path} cannot be read (${codeOf(cause) ?? messageOf(cause)})`, cause);
  }
  return firstLine(text) || noToken(`${path} is empty`);
}

function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').replace(/\r$/, '');
}

function noToken(why: string, cause?: unknown): never {
  throw new HoldfastError('unauthorized', `no token: ${why}; pass token or tokenFile`, { cause });
}

/** As wire.md §8 has it: hexadecimal text of 128 random bits. */
function newToken(): string {
  return randomBytes(16).toString('hex');
}

function programWords({ program = 'holdfast' }: TargetOptions): readonly string[] {
  return typeof program === 'string' ? [program] : program;
}

/**
 * A token that we were given goes through a pipe and is nowhere else. One that we make up must be found by the next client,
 * so it goes through a file, which the daemon removes, and stands in `daemon.token` afterwards.
 */
async function startHere(socket: string, options: TargetOptions): Promise<string> {
  const { flags = [], env } = options;
  const words = [...programWords(options), '-serve', '-socket', socket];
  const given = givenToken(options);
  if (given !== undefined) {
    await runToEnd([...words, '-token-fd', '0', ...flags], `${given}\n`, env);
    return given;
  }
  const token = newToken();
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-'));
  try {
    const file = join(folder, 'token');
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    try {
      await runToEnd([...words, '-token-file', file, ...flags], '', env);
    } catch (error) {
      if (!isLate(error) || !(await comesLate(file, socket))) {
        throw error;
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return token;
}

/** How long a daemon may take that comes after its launcher has given up waiting. */
const lateMs = 30_000;
const latePollMs = 50;

/** On a busy machine a daemon may come later than its launcher waits. */
function isLate(error: unknown): boolean {
  return messageOf(error).includes('timeout waiting for daemon to accept');
}

/** Waits for the daemon to read its token file, which it then removes, and to listen. @returns whether it does */
async function comesLate(tokenFile: string, socket: string): Promise<boolean> {
  for (const giveUpAt = performance.now() + lateMs; performance.now() < giveUpAt; ) {
    const found = existsSync(tokenFile)
      ? undefined
      : await socketDialer(socket)
          .dial()
          .catch(() => undefined);
    if (found !== undefined) {
      found.destroy();
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, latePollMs));
  }
  return false;
}

function sshTarget(destination: string, options: TargetOptions): Target {
  checkDestination(destination);
  const { sshCommand = ['ssh'], socket, flags = [], env } = options;
  const program = programWords(options);
  const at = (spelling: string): string[] => (socket === undefined ? [] : [spelling, socket]);
  /** ssh joins its arguments with spaces and the shell there splits them again. */
  const remote = (...words: readonly string[]): string[] => [
    ...sshCommand,
    destination,
    words.map(shellWord).join(' '),
  ];
  return {
    dialer: commandDialer(remote(...program, '-bridge', ...at('-socket')), env),
    async readToken() {
      const given = givenToken(options);
      if (given !== undefined) {
        return given;
      }
      try {
        const printed = await runToEnd(remote(...program, 'token', ...at('--socket')), '', env);
        return firstLine(printed) || noToken(`${program.join(' ')} token on ${destination} printed nothing`);
      } catch (cause) {
        return noToken(messageOf(cause), cause);
      }
    },
    start:
      options.start === false
        ? undefined
        : async () => {
            const given = givenToken(options);
            const token = given ?? newToken();
            const serve = [...program, '-serve', ...at('-socket'), ...flags];
            // As in startHere: only a token that nobody else has is published.
            const words =
              given !== undefined ? [...serve, '-token-fd', '0'] : ['sh', '-c', serveWithTokenFile, 'sh', ...serve];
            await runToEnd(remote(...words), `${token}\n`, env);
            return token;
          },
  };
}

/** The token comes through standard input and lies in a file of mode 0600 until the daemon has read it. */
const serveWithTokenFile =
  'umask 077; file=$(mktemp) || exit; cat >"$file"; "$@" -token-file "$file"; status=$?; rm -f "$file"; exit $status';

/** A program that only starts or tells something is not waited for longer. */
const runLimitMs = 120_000;

/** @returns its stdout. @throws HoldfastError `refused` with its stderr when it fails */
function runToEnd(words: readonly string[], input: string, env: NodeJS.ProcessEnv | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const [program = '', ...args] = words;
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env,
      windowsHide: true,
      timeout: runLimitMs,
    });
    let output = '';
    let complaint = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-4_000);
    });
    // A program that ends before it has read its input tells why on stderr.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.once('error', (cause) => {
      reject(new HoldfastError('refused', `${program} cannot be run: ${codeOf(cause) ?? cause.message}`, { cause }));
    });
    child.once('close', (code, signal) => {
      if (code === 0) {
        resolve(output);
      } else {
        const how = signal === null ? `exit code ${code}` : `ended by ${signal}`;
        reject(new HoldfastError('refused', `${words.join(' ')}: ${how}: ${complaint.trim()}`));
      }
    });
  });
}
