/** A daemon of the test's own under Windows: private folder, home and token; ended with the test. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ProcessIdentity } from '../../platform/processes.ts';
import { createPlatform } from '../../platform/win32/index.ts';
import type { ProfileName } from '../../src/wire/profile.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { waitUntil } from '../support/wait.ts';

export const platform = createPlatform();

/** The program, as test/windows/bundle.ts makes it before each run. */
export const mainFile = fileURLToPath(new URL('../../dist/suite/main.js', import.meta.url));

export interface RunResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly input?: string | Buffer;
}

/** Runs one mode to its end. Output goes to files: a daemon keeps what it inherits, and a pipe would stay open with it. */
export async function runHoldfast(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return runProgram(process.execPath, ['--disable-warning=ExperimentalWarning', mainFile, ...args], options);
}

export async function runProgram(file: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const folder = mkdtempSync(join(tmpdir(), 'hfo-'));
  const [outFile, errFile] = [join(folder, 'out'), join(folder, 'err')];
  const [out, err] = [openSync(outFile, 'w'), openSync(errFile, 'w')];
  try {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', out, err],
      windowsHide: true,
    });
    if (options.input !== undefined) {
      child.stdin?.on('error', () => {}).end(options.input);
    }
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject).once('exit', (found) => resolve(found));
    });
    return { code, stdout: readFileSync(outFile, 'latin1'), stderr: readFileSync(errFile, 'latin1') };
  } finally {
    closeSync(out);
    closeSync(err);
    await removeFolder(folder);
  }
}

/** Our environment without what would steer the program, with a home folder of its own. */
export function cleanEnvironment(home: string): NodeJS.ProcessEnv {
  const steering = /^(CLAUDE_|CLAUSTRUM_|HOLDFAST_|GIT_|XDG_|VITEST|NODE_|NAPI_)/;
  const kept = Object.entries(process.env).filter(([name]) => !steering.test(name));
  return { ...Object.fromEntries(kept), USERPROFILE: home };
}

export interface DaemonOptions {
  readonly profile?: ProfileName;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string | null>>;
  /** Content of the token file; default: the token. */
  readonly tokenText?: string;
  readonly tokenVia?: 'stdin';
}

export class WindowsDaemon {
  readonly folder = mkdtempSync(join(tmpdir(), 'hfd-'));
  readonly runFolder = join(this.folder, 'run');
  readonly home = join(this.folder, 'home');
  readonly work = join(this.folder, 'work');
  readonly socketPath = join(this.runFolder, 'rpc.sock');
  readonly tokenFile = join(this.folder, 'token');
  readonly token = randomBytes(16).toString('hex');
  readonly env: NodeJS.ProcessEnv;
  readonly #options: DaemonOptions;
  /** Every process that has served in this folder, as far as it was met. */
  readonly #processes: ProcessIdentity[] = [];

  constructor(options: DaemonOptions = {}) {
    this.#options = options;
    mkdirSync(this.home);
    mkdirSync(this.work);
    this.env = cleanEnvironment(this.home);
    for (const [name, value] of Object.entries(options.env ?? {})) {
      if (value === null) {
        delete this.env[name];
      } else {
        this.env[name] = value;
      }
    }
  }

  /** Runs `-serve` with a fresh token and returns the launcher's outcome. */
  launch(more: readonly string[] = []): Promise<RunResult> {
    const { profile, flags = [], tokenText = this.token, tokenVia } = this.#options;
    const viaStdin = tokenVia === 'stdin';
    if (!viaStdin) {
      writeFileSync(this.tokenFile, Buffer.from(tokenText, 'latin1'));
    }
    return runHoldfast(
      [
        '-serve',
        '-socket',
        this.socketPath,
        ...(viaStdin ? ['-token-fd', '0'] : ['-token-file', this.tokenFile]),
        ...(profile === undefined ? [] : ['-wire-profile', profile]),
        ...flags,
        ...more,
      ],
      { env: this.env, cwd: this.work, ...(viaStdin ? { input: Buffer.from(tokenText, 'latin1') } : {}) },
    );
  }

  /**
   * On a busy machine Wine may take longer for a start than the launcher waits; the daemon is there all the same then.
   * @throws with the launcher's words and the log when the start fails
   */
  async start(): Promise<void> {
    const { code, stderr } = await this.launch();
    if (code === 0) {
      await this.#meet((socket) => socket.destroy());
      return;
    }
    const isLate = stderr.includes('timeout waiting for daemon to accept');
    if (isLate) {
      await waitUntil(() => this.answers(), 'the daemon to answer', { timeoutMs: 60_000 });
      await this.#meet((socket) => socket.destroy());
      return;
    }
    throw new Error(`the launcher exited with ${code}\n${stderr}\n${this.log()}`);
  }

  async answers(): Promise<boolean> {
    try {
      (await platform.transport.dial(this.socketPath, { timeoutMs: 1_000 })).destroy();
      return true;
    } catch {
      return false;
    }
  }

  log(): string {
    const file = join(this.runFolder, 'remote-server.log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** Ends the daemon, if it still runs, and removes everything once its processes are gone. */
  async stop(): Promise<void> {
    await this.#meet((socket) => socket.write('{"jsonrpc":"2.0","id":0,"method":"server.shutdown"}\n'));
    for (const { pid, start } of this.#processes) {
      const hasEnded = (): boolean => platform.processes.identify(pid)?.start !== start;
      await waitUntil(hasEnded, `process ${pid} of the daemon to end`, { timeoutMs: 60_000 });
    }
    await removeFolder(this.folder);
  }

  /** Notes whose process serves the pipe that is published. @param say to be done with the connection, which ends then */
  async #meet(say: (socket: Socket) => void): Promise<void> {
    let socket: Socket;
    try {
      socket = await platform.transport.dial(this.socketPath, { timeoutMs: 10_000 });
    } catch {
      return;
    }
    const pid = platform.transport.peerOf(socket)?.pid;
    const identity = pid === undefined ? undefined : platform.processes.identify(pid);
    if (identity !== undefined) {
      this.#processes.push(identity);
    }
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {}).resume();
    say(socket);
    await closed;
  }
}
