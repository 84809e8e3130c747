/** An agent of the test's own: private folders, a stand-in for the CLI, a server; ended with everything it started. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentTimings } from '../../../src/doors/agent/pauses.ts';
import { cleanEnvironment, type Environment, program, programForTests } from '../../support/holdfast.ts';
import { findMarked, isRunning, type ProcessFacts, processFacts, signalProcess } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { StandInServer } from './stand-in-server.ts';

export interface AgentOptions {
  /** Added to the settings file. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly env?: Environment;
  readonly server?: StandInServer;
  /** Other pauses than the product's, for what would take minutes. */
  readonly timings?: Partial<AgentTimings>;
  /** Of a server that is made for this agent; with a settings file without it when the environment has one. */
  readonly token?: string;
  /** What is started in place of `holdfast agent`. */
  readonly command?: readonly string[];
}

/** Prints each line it is given after `got: `, and obeys some: `exit 3`, `spawn`, `bytes`. */
const standInCli = `#!/bin/sh
echo "ready $*"
while IFS= read -r line; do
  case $line in
    'exit '*) exit "\${line#exit }" ;;
    'run '*) eval "\${line#run }" ;;
    *) printf 'got: %s\\n' "$line" ;;
  esac
done
`;

export class TestAgent implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'hfa-'));
  readonly work = join(this.folder, 'work');
  readonly stateDir = join(this.folder, 'state');
  readonly cli = join(this.folder, 'cli.sh');
  readonly socket = join(this.stateDir, 'run', 'rpc.sock');
  readonly server: StandInServer;
  readonly env: NodeJS.ProcessEnv;
  readonly #settings: Record<string, unknown>;
  readonly #mark = `HOLDFAST_AGENT_TEST=${this.folder}`;
  readonly #options: AgentOptions;
  #child: ChildProcess | undefined;
  #stdout = '';
  #stderr = '';

  constructor(server: StandInServer, options: AgentOptions) {
    const { settings, env = {}, timings } = options;
    this.server = server;
    this.#options = options;
    mkdirSync(this.work);
    mkdirSync(join(this.folder, 'home'));
    writeFileSync(this.cli, standInCli, { mode: 0o755 });
    this.env = cleanEnvironment(join(this.folder, 'home'), {
      ...env,
      HOLDFAST_AGENT_TEST: this.folder,
      ...(timings === undefined ? {} : { HOLDFAST_TEST_AGENT_TIMINGS: JSON.stringify(timings) }),
    });
    this.#settings = {
      serverUrl: server.url,
      ...(env.AGENT_TOKEN === undefined ? { agentToken: server.token } : {}),
      pollInterval: 100,
      outputFlushInterval: 20,
      claudeCommand: this.cli,
      inputFormat: 'text',
      stateDir: this.stateDir,
      ...settings,
    };
  }

  /** Starts it and waits for its first status report. */
  static async start(options: AgentOptions = {}): Promise<TestAgent> {
    const server =
      options.server ?? (await StandInServer.start(options.token === undefined ? {} : { token: options.token }));
    const agent = new TestAgent(server, options);
    agent.launch();
    await agent.online();
    return agent;
  }

  launch(changes: Readonly<Record<string, unknown>> = {}): void {
    writeFileSync(join(this.work, 'config.json'), JSON.stringify({ ...this.#settings, ...changes }), { mode: 0o600 });
    const { timings, command = [timings === undefined ? program : programForTests, 'agent'] } = this.#options;
    const [file = '', ...words] = command;
    const child = spawn(file, words, {
      cwd: this.work,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.#child = child;
  }

  async online(): Promise<void> {
    const before = this.server.statuses.length;
    await waitUntil(() => this.server.statuses.length > before || this.#failure(), 'the agent to be online');
  }

  #failure(): boolean {
    if (this.#child?.exitCode !== null) {
      throw new Error(`the agent ended with ${this.#child?.exitCode}\n${this.stdout}${this.stderr}`);
    }
    return false;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Resolves with its exit code; -1 when a signal ended it. */
  async ended(): Promise<number> {
    await waitUntil(() => !this.isRunning, 'the agent to end', { timeoutMs: 40_000 });
    return this.#child?.exitCode ?? -1;
  }

  async killed(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended();
  }

  /** The final acknowledgement of an instruction. */
  acknowledged(id: string) {
    return waitUntil(
      () => this.server.acknowledged(id).find(({ result }) => result !== 'queued'),
      `instruction ${id} to be acknowledged\n${this.#stderr}`,
    );
  }

  /** Text that the server has of a session's standard output, once it contains `part`. */
  output(sessionId: string, part: string): Promise<string> {
    const session = this.server.session(sessionId);
    return waitUntil(() => (session.text().includes(part) ? session.text() : undefined), `${part} of ${sessionId}`);
  }

  exit(sessionId: string) {
    return waitUntil(() => this.server.session(sessionId).exit, `the exit chunk of ${sessionId}`);
  }

  /** Everything in the state folder, as one text. */
  stateText(): string {
    return readdirSync(this.stateDir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        try {
          return readFileSync(join(entry.parentPath, entry.name), 'latin1');
        } catch {
          // Renamed meanwhile: a file that was written anew.
          return '';
        }
      })
      .join('\n');
  }

  /** The host daemon and its keeper, everything they run, and the agent itself. */
  processes(): readonly ProcessFacts[] {
    return findMarked(this.#mark);
  }

  /** The host daemon and its keeper, by what they have written down. */
  ownPids(): readonly number[] {
    return ['daemon.lock', 'keeper.json'].map((name) => {
      const { pid } = JSON.parse(readFileSync(join(this.stateDir, 'run', name), 'utf8')) as { pid: number };
      return pid;
    });
  }

  /** The host daemon, by its lock, which is empty for a moment while a daemon starts; `undefined`: there is none now. */
  daemon(): ProcessFacts | undefined {
    const text = readFileSync(join(this.stateDir, 'run', 'daemon.lock'), 'utf8');
    const facts = text.trimEnd().endsWith('}') ? processFacts((JSON.parse(text) as { pid: number }).pid) : undefined;
    return facts !== undefined && isRunning(facts) ? facts : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await waitUntil(() => {
      const left = this.processes();
      for (const process of left) {
        signalProcess(process, 'SIGKILL');
      }
      return left.length === 0;
    }, `everything that was started in ${this.folder} to end`);
    await this.server[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
