/**
 * A daemon of the test's own: private directory, home and token; ended with everything it left when the test ends.
 *
 *     await using daemon = await startDaemon({ profile: 'current' });
 *     await using client = await connect(daemon);
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, lstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as dial } from 'node:net';
import { join } from 'node:path';
import type { ProfileName } from '../../src/wire/profile.ts';
import type { TimingChanges } from '../fixtures/main-for-tests.ts';
import {
  cleanEnvironment,
  type Environment,
  program,
  programForTests,
  type RunResult,
  runHoldfast,
} from './holdfast.ts';
import { requireKnownFailpoints } from './known-failpoints.ts';
import { findByArguments, findMarked, isRunning, type ProcessFacts, signalProcess, untilEnded } from './processes.ts';
import { waitUntil } from './wait.ts';

export interface DaemonOptions {
  /** `-wire-profile`; omitted: the program's default, S. */
  readonly profile?: ProfileName;
  /** Further flags of `-serve`. */
  readonly flags?: readonly string[];
  readonly env?: Environment;
  /** Other timers than the product's (test/fixtures/main-for-tests.ts), for what would take minutes. */
  readonly timings?: TimingChanges;
  /**
   * `HOLDFAST_FAILPOINTS` for the daemon (test/support/failpoint-rules.ts); a point the source does not have is an error.
   * Empty: the test sets the variable later.
   */
  readonly failpoints?: string;
  /** A daemon of the contract alone: every `holdfast.*` method is unknown to it. */
  readonly withoutExtensions?: true;
  /** Name of the socket file, for tests about paths. */
  readonly socketName?: string;
  /** Another run directory and another copy of the program, for daemons that share a layout (test/run-directory/cleaner). */
  readonly at?: { readonly runDir: string; readonly program: string };
  /** Words before the program that replace themselves by it: `['prlimit', '--nofile=64']`, a namespace, another user. */
  readonly through?: readonly string[];
  /** The test's own hook; needed in `test.concurrent`, where vitest cannot know which test is meant. */
  readonly onTestFailed?: (print: () => void) => void;
}

/** Starts a daemon and waits until it serves. @throws with the launcher's words and the log when the start fails */
export async function startDaemon(options: DaemonOptions = {}): Promise<TestDaemon> {
  const daemon = await prepareDaemon(options);
  try {
    await daemon.start();
    return daemon;
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
}

/** Everything a daemon needs, not started yet: for tests that put something in its way, or expect its start to fail. */
export async function prepareDaemon(options: DaemonOptions = {}): Promise<TestDaemon> {
  if (options.failpoints !== undefined) {
    requireKnownFailpoints(options.failpoints);
  }
  const daemon = new TestDaemon(options);
  if (isWatched(options)) {
    const stalls = [process.env.HOLDFAST_TEST_STALLS, await currentTestName()];
    daemon.env.HOLDFAST_TEST_TIMINGS = JSON.stringify({ ...options.timings, stalls });
  }
  const onTestFailed = options.onTestFailed ?? (await currentTestHook());
  onTestFailed?.(() => console.error(daemon.log()));
  return daemon;
}

/**
 * Whether the daemon tells its longest turns (test/tools/stall-report.ts): every one when the report is asked for; in CI those
 * that run the program for tests anyway, so that the others are what users run.
 */
function isWatched({ timings }: DaemonOptions): boolean {
  const { HOLDFAST_TEST_STALLS: file, HOLDFAST_TEST_STALLS_OF: whose } = process.env;
  return file !== undefined && (whose === 'all' || timings !== undefined);
}

/** Empty for everything but a regular file: tests put other things in its place, and a FIFO would block us. */
function textOf(file: string): string {
  try {
    return lstatSync(file).isFile() ? readFileSync(file, 'utf8') : '';
  } catch {
    return '';
  }
}

export class TestDaemon implements AsyncDisposable {
  /** Private directory of the test, short enough for any socket path. Gone with the daemon. */
  readonly dir: string;
  /** Folder of the socket, made by the program. */
  readonly runDir: string;
  readonly home: string;
  readonly socket: string;
  readonly token = randomBytes(16).toString('hex');
  /** What the program and the other modes run with. Change it before the next `start`. */
  readonly env: NodeJS.ProcessEnv;
  readonly #options: DaemonOptions;
  readonly #mark: string;
  readonly #tokenFile: string;
  /** What is started. Change it before the next `start`: an upgrade. */
  program: string;
  /** Logs of earlier starts, which a new start unlinks, and of this one after the directory is gone. */
  #pastLog = '';
  /** What was seen running: a child with an empty environment cannot be found any more once its parent is gone. */
  readonly #seen = new Map<string, ProcessFacts>();

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.dir = mkdtempSync('/tmp/hf-');
    this.runDir = options.at?.runDir ?? join(this.dir, 'run');
    this.home = join(this.dir, 'home');
    this.socket = join(this.runDir, options.socketName ?? 'rpc.sock');
    this.#tokenFile = join(this.dir, 'token');
    this.#mark = `HOLDFAST_TEST_DAEMON=${this.dir}`;
    mkdirSync(this.home);
    this.env = cleanEnvironment(this.home, {
      HOLDFAST_TEST_DAEMON: this.dir,
      HOLDFAST_FAILPOINTS: options.failpoints,
      HOLDFAST_TEST_WITHOUT_EXTENSIONS: options.withoutExtensions && '1',
      HOLDFAST_TEST_TIMINGS: options.timings === undefined ? undefined : JSON.stringify(options.timings),
      ...options.env,
    });
    this.program =
      options.at?.program ??
      (isWatched(options) ||
      [options.timings, options.failpoints, options.withoutExtensions].some((changed) => changed !== undefined)
        ? programForTests
        : program);
  }

  /** Starts (again) in the same run directory. @throws when the launcher does not exit with 0 */
  async start(flags: readonly string[] = []): Promise<void> {
    const result = await this.launch(flags);
    if (result.code !== 0) {
      const how = result.code === null ? `was ended by ${result.signal}` : `exited with ${result.code}`;
      throw new Error(`the launcher ${how}\n${result.stderr}\n${this.log()}`);
    }
  }

  /** Runs `-serve` with a fresh token file and returns the launcher's outcome, whatever it is. */
  launch(flags: readonly string[] = []): Promise<RunResult> {
    this.#pastLog = this.log();
    writeFileSync(this.#tokenFile, `${this.token}\n`, { mode: 0o600 });
    const { profile } = this.#options;
    return this.#runDetaching([
      '-serve',
      ...['-socket', this.socket],
      ...['-token-file', this.#tokenFile],
      ...(profile === undefined ? [] : ['-wire-profile', profile]),
      ...(this.#options.flags ?? []),
      ...flags,
    ]);
  }

  /** Runs another mode or verb with this daemon's environment, e.g. `['-bridge', '-socket', daemon.socket]`. */
  run(args: readonly string[], input?: string | Buffer): Promise<RunResult> {
    return runHoldfast(args, { env: this.env, program: this.program, ...(input === undefined ? {} : { input }) });
  }

  /** As `run`, started in another folder: for relative paths. */
  runIn(cwd: string, args: readonly string[]): Promise<RunResult> {
    return runHoldfast(args, { env: this.env, program: this.program, cwd });
  }

  /** The one running daemon of this socket. @throws when there is none, or more than one */
  process(): ProcessFacts {
    const all = this.daemons();
    // A child looks like its daemon until it has become its own program.
    const found = all.filter(({ parent }) => !all.some(({ pid }) => pid === parent));
    const [only] = found;
    if (only === undefined || found.length > 1) {
      throw new Error(
        `${found.length} daemons of ${this.socket}: ${found.map(({ pid }) => pid).join(', ')}\n${this.log()}`,
      );
    }
    return only;
  }

  /** Pid of the one running daemon. @throws as {@link process} */
  pid(): number {
    return this.process().pid;
  }

  /** Every running daemon of this socket, by its exact command line (the daemon is detached from its launcher). */
  daemons(): ProcessFacts[] {
    return findByArguments(['-serve', '-socket', this.socket]);
  }

  /** Everything of this test that runs: daemons, keeper, children, and what those started in sessions of their own. */
  processes(): ProcessFacts[] {
    for (const found of [...findMarked(this.#mark), ...this.daemons()]) {
      this.#seen.set(`${found.pid} ${found.start}`, found);
    }
    return [...this.#seen.values()].filter(isRunning);
  }

  /** The logs of all starts, oldest first. Works after the end too. */
  log(): string {
    const file = join(this.runDir, 'remote-server.log');
    const now = textOf(file);
    return this.#pastLog + (now === '' ? '' : `--- ${file}\n${now}`);
  }

  /** Resolves when the log has a line that matches, with that line. */
  async untilLogged(pattern: RegExp): Promise<string> {
    return waitUntil(
      () =>
        this.log()
          .split('\n')
          .find((line) => pattern.test(line)),
      `a log line that matches ${pattern}`,
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.log()}`);
    });
  }

  /** Sends a signal to the daemon alone (`SIGSTOP` and `SIGCONT` are the pauses of the fault scenarios). */
  signal(signal: NodeJS.Signals): void {
    signalProcess(this.process(), signal);
  }

  /** Ends the daemon alone, by SIGKILL unless told otherwise, and waits until it is gone. What it started lives on. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const target = this.process();
    this.processes();
    signalProcess(target, signal);
    await untilEnded(target, `the daemon ${target.pid} to end after ${signal}`);
  }

  /** Ends the daemon by `server.shutdown` and waits until it is gone. */
  async stop(): Promise<void> {
    const target = this.process();
    this.processes();
    await new Promise<void>((resolve, reject) => {
      const socket = dial(this.socket, () => socket.write('{"jsonrpc":"2.0","id":0,"method":"server.shutdown"}\n'));
      socket.on('error', reject).on('close', resolve).resume();
    });
    await untilEnded(target, `the daemon ${target.pid} to end after server.shutdown`);
  }

  /** Ends everything of this test at once and removes the directory. A second call does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    // One may have started another before it ended.
    for (let left = this.processes(); left.length > 0; left = this.processes()) {
      for (const target of left) {
        signalProcess(target, 'SIGKILL');
      }
      const ends = left.map((target) => untilEnded(target, `process ${target.pid}, started in ${this.dir}, to end`));
      await Promise.all(ends);
    }
    this.#pastLog = this.log();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Output goes to files: a daemon that had to keep the launcher's descriptors would hold a pipe open for ever. */
  async #runDetaching(args: readonly string[]): Promise<RunResult> {
    const files = [join(this.dir, 'launcher.out'), join(this.dir, 'launcher.err')] as const;
    const [out, err] = files.map((file) => openSync(file, 'w', 0o600)) as [number, number];
    try {
      const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
        const [first = this.program, ...words] = [...(this.#options.through ?? []), this.program, ...args];
        const launcher = spawn(first, words, { cwd: this.dir, env: this.env, stdio: ['ignore', out, err] });
        launcher.on('error', reject).on('exit', (code, signal) => resolve([code, signal]));
      });
      return { code, signal, stdout: readFileSync(files[0], 'utf8'), stderr: readFileSync(files[1], 'utf8') };
    } finally {
      closeSync(out);
      closeSync(err);
    }
  }
}

/** vitest's hook of the running test; `undefined` in `beforeAll`, benchmarks and the demo. */
/** For the report of stalls (test/tools/stall-report.ts). */
async function currentTestName(): Promise<string> {
  if (process.env.VITEST === undefined) {
    return '';
  }
  const { expect } = await import('vitest');
  return expect.getState().currentTestName ?? '';
}

async function currentTestHook(): Promise<((print: () => void) => void) | undefined> {
  if (process.env.VITEST === undefined) {
    return undefined;
  }
  const { onTestFailed } = await import('vitest');
  return (print) => {
    try {
      onTestFailed(print);
    } catch {
      // Not inside a test.
    }
  };
}
