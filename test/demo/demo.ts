/**
 * Shows what Holdfast is for, in some seconds: a daemon of its own, a real program with real output, a connection that
 * is cut in the middle, and the count of both sides at the end. Exit code 1 when anything differs.
 *
 *     npm run demo
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type StreamFrame, StreamRecord } from '../support/streams.ts';
import { waitUntil } from '../support/wait.ts';
import { Connection } from './connection.ts';
import { endTranscript, line, progress, say, styled, table } from './screen.ts';
import { type Check, compare, grouped, type ProgramCount } from './verdict.ts';

const program = fileURLToPath(new URL('../../bin/holdfast', import.meta.url));
const job = fileURLToPath(new URL('./job.ts', import.meta.url));
const sessionId = 'demo';
const cutAfterBytes = 400_000;
/** How long the client has stopped reading when it is cut, so that some of what was sent is lost on the way. */
const deafMs = 150;
const awayMs = 1_500;
const endMs = 5_000;
/** A socket path may have 107 bytes (macOS 103). */
const longestTemporaryFolder = 60;

class Demo {
  readonly #dir = mkdtempSync(join(tmpdir().length > longestTemporaryFolder ? '/tmp' : tmpdir(), 'holdfast-'));
  readonly #socket = join(this.#dir, 'run', 'rpc.sock');
  readonly #countFile = join(this.#dir, 'count.json');
  readonly #token = randomBytes(16).toString('hex');
  readonly #record = new StreamRecord(sessionId, false);
  #relay: ChildProcess | undefined;
  /** Settles when the launcher has ended; from then on a daemon can be stopped. */
  #launched: Promise<void> | undefined;
  #pid: number | undefined;
  #step = '';
  #ending = false;

  /** @returns whether everything is as it should be */
  async run(): Promise<boolean> {
    line(styled('bold', 'Holdfast demo: the connection to a running program is cut; nothing of its output is lost.'));
    line();
    await this.#startDaemon();
    const first = await this.#connect();
    await this.#spawnProgram(first);
    const framesBeforeCut = await this.#cut(first);
    await this.#stayAway();
    const second = await this.#connect();
    await this.#reattach(second);
    await this.#untilExit(second);
    return this.#verdict(framesBeforeCut);
  }

  /** Ends whatever was started, in any state. @returns what is left, if anything */
  async end(): Promise<string[]> {
    this.#ending = true;
    this.#relay?.kill('SIGKILL');
    const left: string[] = [];
    if (this.#launched !== undefined) {
      await this.#launched.catch(() => {});
      await this.#holdfast(['-stop', '-socket', this.#socket], '').catch((error: Error) => left.push(error.message));
      const ended = (what: string, gone: () => boolean): Promise<unknown> =>
        waitUntil(gone, `${what} to end`, { timeoutMs: endMs }).catch((error: Error) => left.push(error.message));
      // A daemon that ends removes its socket last.
      await ended('the daemon', () => !existsSync(this.#socket));
      const pid = this.#pid;
      if (pid !== undefined) {
        await ended(`the program, pid ${pid},`, () => !isAlive(pid));
      }
    }
    if (left.length === 0) {
      rmSync(this.#dir, { recursive: true, force: true });
    }
    return left.map((what) => `${what}; see ${this.#dir}`);
  }

  async #startDaemon(): Promise<void> {
    this.#launched = this.#holdfast(['-serve', '-socket', this.#socket, '-token-fd', '0'], `${this.#token}\n`);
    await this.#launched;
    say('daemon', `holdfast -serve -socket ${this.#socket} -token-fd 0`);
  }

  async #connect(): Promise<Connection> {
    if (this.#ending) {
      throw new Error('the demo is ending');
    }
    const relay = spawn(program, ['-bridge', '-socket', this.#socket], { stdio: ['pipe', 'pipe', 'inherit'] });
    relay.on('error', () => {});
    this.#relay = relay;
    const connection = new Connection({
      relay,
      token: this.#token,
      record: this.#record,
      onFrame: (frame) => this.#onFrame(frame),
    });
    await connection.call('server.ping', {});
    say('client', `connected through holdfast -bridge, pid ${relay.pid} (what a client runs over ssh)`);
    return connection;
  }

  async #spawnProgram(connection: Connection): Promise<void> {
    const { pid } = await connection.call('process.spawn', {
      id: sessionId,
      command: process.execPath,
      args: ['--disable-warning=ExperimentalWarning', job, this.#countFile],
      wantPid: true,
    });
    this.#pid = pid;
    say('program', `node ${relative(process.cwd(), job)}, pid ${pid}: real commands, real output`);
  }

  /** Kills the relay in mid-stream. @returns the frames that had come */
  async #cut(connection: Connection): Promise<number> {
    const record = this.#record;
    await Promise.race([
      connection.untilExit(),
      waitUntil(() => record.bytes.stdout >= cutAfterBytes, 'enough output to cut', { timeoutMs: 60_000 }),
    ]);
    connection.stopReading();
    await sleep(deafMs);
    const relay = this.#relay as ChildProcess;
    const dead = new Promise((resolve) => relay.once('exit', resolve));
    relay.kill('SIGKILL');
    relay.stdout?.destroy();
    await dead;
    const partial =
      connection.partialBytes === 0 ? '' : ` and ${grouped(connection.partialBytes)} bytes of a broken one`;
    say('cut', `SIGKILL to the relay in mid-stream, after ${this.#figures()}${partial}`, 'red');
    return record.count;
  }

  async #stayAway(): Promise<void> {
    await sleep(awayMs);
    if (this.#pid === undefined || !isAlive(this.#pid)) {
      say('away', `${awayMs / 1000} s; the program has ended meanwhile`, 'yellow');
      return;
    }
    say('away', `${awayMs / 1000} s with no connection at all; the program, pid ${this.#pid}, runs on`, 'yellow');
  }

  async #reattach(connection: Connection): Promise<void> {
    const fromSeq = this.#record.lastSeq;
    const before = this.#record.count;
    const { found, lastSeq, running } = await connection.call('process.reattach', { id: sessionId, fromSeq });
    if (!found) {
      throw new Error('the daemon does not know the program any more');
    }
    const missed = this.#record.count - before;
    const state = running ? 'the program still runs' : 'the program has ended';
    say('reattach', `from frame ${fromSeq}: ${missed} missed frames replayed up to ${lastSeq}, ${state}`, 'green');
  }

  async #untilExit(connection: Connection): Promise<void> {
    const { seq } = await connection.untilExit();
    say('end', `exit frame ${seq}, after ${this.#figures()}`);
  }

  #verdict(framesBeforeCut: number): boolean {
    const { stdout, stderr } = this.#record.bytes;
    const own = existsSync(this.#countFile)
      ? (JSON.parse(readFileSync(this.#countFile, 'utf8')) as ProgramCount)
      : none;
    const checks = compare(own, {
      stdout: { bytes: stdout, sha256: this.#record.sha256('stdout') },
      stderr: { bytes: stderr, sha256: this.#record.sha256('stderr') },
      exitCode: this.#record.exit?.exitCode,
      frames: this.#record.count,
      lastSeq: this.#record.lastSeq,
      duplicates: this.#record.duplicates,
      gaps: this.#record.gaps,
      framesBeforeCut,
    });
    line();
    table([
      ['', "program's own count", 'received'].map((text) => styled('dim', text)).concat(''),
      ...checks.map(asRow),
    ]);
    line();
    const failed = checks.filter(({ holds }) => !holds).length;
    line(
      failed === 0
        ? styled(['bold', 'green'], 'Nothing lost, nothing doubled.')
        : styled(['bold', 'red'], `${failed} of ${checks.length} checks failed.`),
    );
    return failed === 0;
  }

  #onFrame(frame: StreamFrame): void {
    if (frame.stream === 'stderr') {
      this.#step = /==> (.*)/.exec(frame.data.toString())?.[1] ?? this.#step;
    }
    progress(`${this.#figures()}   ${this.#step}`);
  }

  #figures(): string {
    const { bytes, count } = this.#record;
    return `${grouped(bytes.stdout + bytes.stderr)} bytes in ${count} frames`;
  }

  /** Runs a mode to its end. @throws with its stderr when it fails */
  async #holdfast(args: readonly string[], input: string): Promise<void> {
    // A file, not a pipe: should the daemon keep the launcher's stderr, it would hold a pipe open for ever.
    const errors = join(this.#dir, 'stderr');
    const descriptor = openSync(errors, 'w', 0o600);
    try {
      // A process group of its own: Ctrl-C in the terminal must not end it halfway.
      const child = spawn(program, args, { stdio: ['pipe', 'ignore', descriptor], detached: true });
      child.stdin?.on('error', () => {});
      child.stdin?.end(input);
      const code = await new Promise((resolve, reject) => child.on('error', reject).on('exit', resolve));
      if (code !== 0) {
        throw new Error(`holdfast ${args[0]} failed: ${readFileSync(errors, 'utf8').trim()}`);
      }
    } finally {
      closeSync(descriptor);
    }
  }
}

/** Stands for a program that left no count: every check of it fails. */
const none: ProgramCount = {
  stdout: { bytes: -1, sha256: 'none' },
  stderr: { bytes: -1, sha256: 'none' },
  exitCode: -1,
};

function asRow({ what, expected, received, holds }: Check): string[] {
  const short = (text: string): string => (text.length === 64 ? `${text.slice(0, 16)}...` : text);
  return [what, short(expected), short(received), holds ? styled('green', 'ok') : styled('red', 'DIFFERS')];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

const demo = new Demo();
const interrupted = Promise.withResolvers<never>();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interrupted.reject(new Error(`ended by ${signal}`)));
}
// `npm run demo | head`: nobody reads any more, but what was started must end.
process.stdout.on('error', () => interrupted.reject(new Error('nobody reads the output')));

let succeeded = false;
try {
  succeeded = await Promise.race([demo.run(), interrupted.promise]);
} catch (error) {
  endTranscript();
  console.error(`demo: ${(error as Error).message}; ending the daemon and the program`);
}
const left = await demo.end();
for (const what of left) {
  console.error(`demo: ${what}`);
}
process.exit(succeeded && left.length === 0 ? 0 : 1);
