/**
 * Shows what Holdfast is for, in some seconds: a daemon of its own, a real program with real output, a connection that
 * is cut in the middle, and the count of both sides at the end. Exit code 1 when anything differs.
 *
 *     npm run demo
 *     npm run demo -- durable    the second act: the daemon itself is killed in the middle, and started again
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, type Host, type Session } from '../../src/client/index.ts';
import { program } from '../support/holdfast.ts';
import { type StreamFrame, StreamRecord } from '../support/streams.ts';
import { waitUntil } from '../support/wait.ts';
import { endTranscript, line, progress, say, styled, table } from './screen.ts';
import { type Check, compare, grouped, type ProgramCount } from './verdict.ts';

const jobFile = fileURLToPath(new URL('./job.ts', import.meta.url));
const sessionId = 'demo';
/** The second act. */
const isDurable = process.argv[2] === 'durable';
const cutAfterBytes = 400_000;
/** Long enough to see; the library would be back at once. */
const awayMs = 1_500;
const endMs = 5_000;
/** A socket path may have 107 bytes (macOS 103). */
const longestTemporaryFolder = 60;

class Demo {
  readonly #dir = mkdtempSync(join(tmpdir().length > longestTemporaryFolder ? '/tmp' : tmpdir(), 'holdfast-'));
  readonly #socket = join(this.#dir, 'run', 'rpc.sock');
  readonly #countFile = join(this.#dir, 'count.json');
  readonly #token = randomBytes(16).toString('hex');
  readonly #relayFile = join(this.#dir, 'relay');
  readonly #record = new StreamRecord(sessionId, false);
  #host: Host | undefined;
  /** Settles when the launcher has ended; from then on a daemon can be stopped. */
  #launched: Promise<void> | undefined;
  #pid: number | undefined;
  #keeperPid: number | undefined;
  #daemonIsDead = false;
  #step = '';
  #ending = false;

  /** @returns whether everything is as it should be */
  async run(): Promise<boolean> {
    const cut = isDurable ? 'the daemon of a running program is killed' : 'the connection to a running program is cut';
    line(styled('bold', `Holdfast demo: ${cut}; nothing of its output is lost.`));
    line();
    await this.#startDaemon();
    const host = await this.#connect();
    const job = await this.#spawnProgram(host);
    const received = this.#receive(job);
    const framesBeforeCut = await (isDurable ? this.#killDaemon(host, received) : this.#cut(received));
    const back = this.#untilBack(host);
    if (isDurable) {
      await this.#startDaemon();
    }
    await back;
    await received;
    return this.#verdict(framesBeforeCut);
  }

  /** Ends whatever was started, in any state. @returns what is left, if anything */
  async end(): Promise<string[]> {
    this.#ending = true;
    const left: string[] = [];
    await this.#releaseDurable().catch((error: Error) => left.push(error.message));
    await this.#host?.close();
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
      const keeper = this.#keeperPid;
      if (keeper !== undefined) {
        await ended(`the keeper, pid ${keeper},`, () => !isAlive(keeper));
      }
    }
    if (left.length === 0) {
      rmSync(this.#dir, { recursive: true, force: true });
    }
    return left.map((what) => `${what}; see ${this.#dir}`);
  }

  /** What `-durable` has kept lives until it is let go. */
  async #releaseDurable(): Promise<void> {
    if (!isDurable || this.#host === undefined) {
      return;
    }
    if (this.#daemonIsDead) {
      await this.#startDaemon();
    }
    await this.#host.request('holdfast.release', { all: true });
  }

  async #startDaemon(): Promise<void> {
    const flags = ['-serve', '-socket', this.#socket, '-token-fd', '0', ...(isDurable ? ['-durable'] : [])];
    this.#launched = this.#holdfast(flags, `${this.#token}\n`);
    await this.#launched;
    this.#daemonIsDead = false;
    say('daemon', `holdfast ${flags.join(' ')}`);
  }

  async #connect(): Promise<Host> {
    if (this.#ending) {
      throw new Error('the demo is ending');
    }
    // The relay leaves its pid, so that we can kill it as a broken network would end ssh.
    const relay = 'echo $$ >"$0" && exec "$@"';
    this.#host = await connect({
      command: ['sh', '-c', relay, this.#relayFile, program, '-bridge', '-socket', this.#socket],
      token: this.#token,
      retry: { firstMs: awayMs },
    });
    say('client', `connected through holdfast -bridge, pid ${this.#relayPid()} (what a client runs over ssh)`);
    return this.#host;
  }

  #relayPid(): number {
    return Number(readFileSync(this.#relayFile, 'utf8'));
  }

  async #spawnProgram(host: Host): Promise<Session> {
    const job = await host.spawn({
      id: sessionId,
      command: process.execPath,
      args: ['--disable-warning=ExperimentalWarning', jobFile, this.#countFile],
    });
    this.#pid = job.pid;
    say('program', `node ${relative(process.cwd(), jobFile)}, pid ${job.pid}: real commands, real output`);
    return job;
  }

  /** Keeps the figures of everything that comes. Resolves at the end of the program. */
  async #receive(job: Session): Promise<void> {
    for await (const event of job.events) {
      if (event.type === 'gap') {
        continue;
      }
      const frame: StreamFrame =
        event.type === 'exit'
          ? { stream: 'exit', seq: event.seq, exitCode: event.exitCode, raw: '' }
          : { stream: event.type, seq: event.seq, data: Buffer.from(event.data), raw: '' };
      this.#record.add(frame);
      this.#onFrame(frame);
    }
    say('end', `exit frame ${this.#record.lastSeq}, after ${this.#figures()}`);
  }

  /** Kills the relay in mid-stream. @returns the frames that had come */
  async #cut(received: Promise<void>): Promise<number> {
    const record = this.#record;
    await Promise.race([
      received,
      waitUntil(() => record.bytes.stdout >= cutAfterBytes, 'enough output to cut', { timeoutMs: 60_000 }),
    ]);
    const cut = once(this.#host as Host, 'disconnected');
    process.kill(this.#relayPid(), 'SIGKILL');
    await cut;
    say('cut', `SIGKILL to the relay in mid-stream, after ${this.#figures()}`, 'red');
    return record.count;
  }

  /** Kills the daemon in mid-stream. @returns the frames that had come */
  async #killDaemon(host: Host, received: Promise<void>): Promise<number> {
    const record = this.#record;
    const { pid, keeper } = await host.describe();
    this.#keeperPid = keeper?.pid;
    await Promise.race([
      received,
      waitUntil(() => record.bytes.stdout >= cutAfterBytes, 'enough output to kill in', { timeoutMs: 60_000 }),
    ]);
    const cut = once(host, 'disconnected');
    process.kill(pid, 'SIGKILL');
    this.#daemonIsDead = true;
    await cut;
    say('kill', `SIGKILL to the daemon, pid ${pid}, in mid-stream, after ${this.#figures()}`, 'red');
    return record.count;
  }

  /** The library comes back by itself; what was missed is replayed. */
  async #untilBack(host: Host): Promise<void> {
    const cutAt = performance.now();
    await once(host, 'connected');
    const seconds = ((performance.now() - cutAt) / 1000).toFixed(1);
    const runs = this.#pid !== undefined && isAlive(this.#pid);
    const state = runs ? `the program, pid ${this.#pid}, runs on` : 'the program has ended meanwhile';
    say('away', `${seconds} s with no connection at all; ${state}`, 'yellow');
    const from = this.#record.lastSeq;
    say(
      'reattach',
      `through a new relay, pid ${this.#relayPid()}: from frame ${from}, what was missed is replayed`,
      'green',
    );
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
