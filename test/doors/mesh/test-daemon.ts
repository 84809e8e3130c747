/** A mesh daemon of the test's own: private folders, a member, and the ways to it; ended with the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { MeshTimings } from '../../../src/doors/mesh/timings.ts';
import {
  cleanEnvironment,
  type Environment,
  programForTests,
  type RunResult,
  runHoldfast,
} from '../../support/holdfast.ts';
import { waitUntil } from '../../support/wait.ts';
import { configOf, type Member, newMember } from './members.ts';

export interface TestDaemonOptions {
  readonly member?: Member;
  /** A port where nobody listens unless given. */
  readonly brokerUrl?: string;
  /** In place of the one that joins `member` to one mesh; `undefined` as text: no file at all. */
  readonly config?: string | object | undefined;
  readonly timings?: Partial<MeshTimings>;
  readonly env?: Environment;
  /** Words behind `mesh up`. */
  readonly words?: readonly string[];
  /** As `HOLDFAST_FAILPOINTS` has them. */
  readonly failpoints?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Parsed; `undefined` for what is no JSON. */
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** An object becomes JSON; a text goes as it is. */
  readonly body?: object | string | Buffer;
  /** `socket` unless given. */
  readonly way?: 'socket' | 'tcp';
}

/** A verb is patient on a machine that stalls; what it does when its patience ends is tried with less. */
const patience: Partial<MeshTimings> = { answerMs: 60_000, downPolls: 1_000 };
/** Where nobody listens. */
const nowhere = 'ws://127.0.0.1:9/ws';

export class TestDaemon implements AsyncDisposable {
  readonly folder = mkdtempSync('/tmp/hfm-');
  readonly configFolder = join(this.folder, 'c');
  readonly daemonFolder = join(this.configFolder, 'daemon');
  readonly socket = join(this.daemonFolder, 'daemon.sock');
  readonly member: Member;
  readonly env: NodeJS.ProcessEnv;
  readonly #options: TestDaemonOptions;
  readonly #children: ChildProcess[] = [];
  readonly #errors = new Map<ChildProcess, string>();
  /** The present process is gone and all it has written was read. */
  #closed: Promise<void> = Promise.resolve();
  #stdout = '';
  #stderr = '';

  constructor(options: TestDaemonOptions = {}) {
    const { member = newMember('peer-a'), brokerUrl = nowhere, timings, env = {}, failpoints } = options;
    this.#options = options;
    this.member = member;
    mkdirSync(this.configFolder);
    mkdirSync(join(this.folder, 'home'));
    const config = 'config' in options ? options.config : configOf(member, brokerUrl);
    if (config !== undefined) {
      this.configure(config);
    }
    this.env = cleanEnvironment(join(this.folder, 'home'), {
      CLAUDEMESH_CONFIG_DIR: this.configFolder,
      // Any free one, and also on a machine that is a container.
      CLAUDEMESH_DAEMON_TCP_PORT: '0',
      CI: undefined,
      HOLDFAST_TEST_MESH_TIMINGS: JSON.stringify({ ...patience, ...timings }),
      ...(failpoints === undefined ? {} : { HOLDFAST_FAILPOINTS: failpoints }),
      ...env,
    });
  }

  /** Starts it and waits until it says so. */
  static async start(options: TestDaemonOptions = {}): Promise<TestDaemon> {
    const daemon = new TestDaemon(options);
    try {
      await daemon.launch();
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    return daemon;
  }

  configure(config: string | object): void {
    const text = typeof config === 'string' ? config : JSON.stringify(config);
    writeFileSync(join(this.configFolder, 'config.json'), text, { mode: 0o600 });
  }

  /** Starts the process and waits for `daemon_started`; what was said before is forgotten. */
  async launch(env: Environment = {}): Promise<void> {
    this.#stdout = '';
    this.#stderr = '';
    this.begin(env);
    await waitUntil(() => {
      if (!this.isRunning) {
        throw new Error(`the daemon ended with ${this.#child?.exitCode}\n${this.output}`);
      }
      return this.logged('daemon_started').length > 0;
    }, 'the daemon to start');
  }

  /** Starts the process and waits for nothing; what it says comes after what was said before. */
  begin(env: Environment = {}): void {
    const { words = ['--tcp'] } = this.#options;
    const child = spawn(programForTests, ['mesh', 'up', ...words], {
      env: { ...this.env, ...env },
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#errors.set(child, (this.#errors.get(child) ?? '') + text);
    });
    this.#closed = new Promise((resolve) => child.once('close', () => resolve()));
    this.#children.push(child);
  }

  get #child(): ChildProcess | undefined {
    return this.#children.at(-1);
  }

  /** What tests start. */
  readonly program = programForTests;

  /** Of several starts, whether one says that it runs. */
  get isStarted(): boolean {
    return this.logged('daemon_started').length > 0;
  }

  /** How many of the starts have ended, and what each of them said. */
  get endedStarts(): number {
    return this.endedOutputs.length;
  }

  get endedOutputs(): readonly { readonly code: number | null; readonly stderr: string }[] {
    return this.#children
      .filter(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null)
      .map((child) => ({ code: child.exitCode, stderr: this.#errors.get(child) ?? '' }));
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get output(): string {
    return this.#stdout + this.#stderr;
  }

  /** Whole lines of the log with this name, of both streams. */
  logged(msg: string): readonly Readonly<Record<string, unknown>>[] {
    return this.output
      .split('\n')
      .slice(0, -1)
      .flatMap((line) => {
        try {
          const value = JSON.parse(line) as Record<string, unknown>;
          return value.msg === msg ? [value] : [];
        } catch {
          return [];
        }
      });
  }

  /** What a daemon removes when it ends, as far as it is there. */
  get leftFiles(): readonly string[] {
    return ['daemon.pid', 'daemon.sock'].filter((name) => existsSync(join(this.daemonFolder, name)));
  }

  /** Of this start. */
  get tcpPort(): number {
    const [{ tcp } = { tcp: null }] = this.logged('daemon_started');
    return Number(String(tcp).split(':')[1]);
  }

  get token(): string {
    return readFileSync(join(this.daemonFolder, 'local-token'), 'utf8').trim();
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Resolves with the exit code; -1 when a signal ended it. */
  async ended(): Promise<number> {
    const child = this.#child;
    await waitUntil(() => child?.exitCode !== null || child.signalCode !== null, `the daemon to end\n${this.output}`);
    await this.#closed;
    return child?.exitCode ?? -1;
  }

  async killed(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended();
  }

  async stopped(): Promise<number> {
    this.signal('SIGTERM');
    return this.ended();
  }

  /** Runs `holdfast mesh <words>`, or with `claudemesh` first that program's words, for this daemon's folder. */
  run(words: readonly string[], env: Environment = {}): Promise<RunResult> {
    const all = words[0] === 'claudemesh' ? words : ['mesh', ...words];
    return runHoldfast(all, { env: { ...this.env, ...env }, program: programForTests });
  }

  /** One request; over TCP with the token unless the headers say otherwise. */
  async request(path: string, options: RequestOptions = {}): Promise<Answer> {
    const response = await this.open(path, options);
    let text = '';
    for await (const piece of response.setEncoding('utf8')) {
      text += piece as string;
    }
    const { statusCode = 0, headers } = response;
    try {
      return { status: statusCode, headers, text, body: JSON.parse(text) as Record<string, unknown> };
    } catch {
      return { status: statusCode, headers, text, body: undefined };
    }
  }

  /** The same, with the body still to come. */
  open(path: string, { method, headers = {}, body, way = 'socket' }: RequestOptions = {}): Promise<IncomingMessage> {
    const content =
      body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const place = way === 'socket' ? { socketPath: this.socket } : { host: '127.0.0.1', port: this.tcpPort };
      const sent = httpRequest(
        {
          ...place,
          path,
          method: method ?? (content === undefined ? 'GET' : 'POST'),
          agent: false,
          headers: { ...(way === 'tcp' ? { Authorization: `Bearer ${this.token}` } : {}), ...headers },
        },
        resolve,
      );
      sent.on('error', reject);
      sent.end(content);
    });
  }

  /** Sends a message as a program does. */
  send(body: object, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.request('/v1/send', { body, headers });
  }

  async items(path: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { body } = await this.request(path);
    return (body?.items ?? []) as readonly Readonly<Record<string, unknown>>[];
  }

  /** Listens to `/v1/events`, and resolves when the stream stands. */
  async events(): Promise<EventReader> {
    const response = await this.open('/v1/events');
    const reader = new EventReader(response);
    await waitUntil(() => reader.text.includes(': connected\n\n'), 'the stream of events to stand');
    return reader;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
      }
      await waitUntil(() => child.exitCode !== null || child.signalCode !== null, 'the daemon to end');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface MeshEvent {
  readonly id: number;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What a stream of events has brought so far. */
export class EventReader implements Disposable {
  text = '';
  hasEnded = false;
  readonly #response: IncomingMessage;

  constructor(response: IncomingMessage) {
    this.#response = response;
    response.setEncoding('utf8');
    response.on('data', (piece: string) => {
      this.text += piece;
    });
    response.on('error', () => {});
    response.on('close', () => {
      this.hasEnded = true;
    });
  }

  get all(): readonly MeshEvent[] {
    return [...this.text.matchAll(/^id: (\d+)\nevent: (\w+)\ndata: (.*)\n\n/gm)].map(
      ([, id, event = '', data = '']) => ({
        id: Number(id),
        event,
        data: JSON.parse(data) as Record<string, unknown>,
      }),
    );
  }

  get headers(): IncomingHttpHeaders {
    return this.#response.headers;
  }

  of(kind: string): readonly MeshEvent[] {
    return this.all.filter(({ event }) => event === kind);
  }

  [Symbol.dispose](): void {
    this.#response.destroy();
  }
}
