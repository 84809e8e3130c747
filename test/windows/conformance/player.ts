/** Plays one conformance case against a daemon (test/conformance/README.md describes the steps). */
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../../support/wait.ts';
import { platform, type WindowsDaemon } from '../daemon.ts';
import { type Case, type Expected, type Step, windowsReading } from './cases.ts';
import { Connection, type Frame, keyOf } from './connection.ts';
import { httpGet } from './http-get.ts';
import { layOut } from './lay-out.ts';
import { printable, Scope } from './templates.ts';

/** Programs start slower under Wine than the cases, written for POSIX, allow for. */
const patience = 5;
/** So long a case sleeps until something has surely happened; shorter sleeps are there for something that is still going on. */
const longSleepMs = 300;
const defaultTimeoutMs = 6_000;
const settleMs = 50;

export class Player {
  readonly #case: Case;
  readonly #daemon: WindowsDaemon;
  readonly #scope: Scope;
  readonly #connections = new Map<string, Connection>();

  constructor(
    one: Case,
    daemon: WindowsDaemon,
    fixed: Readonly<Record<string, string>>,
    features: ReadonlySet<string>,
  ) {
    this.#case = one;
    this.#daemon = daemon;
    this.#scope = new Scope(fixed, features);
  }

  async play(): Promise<void> {
    for (const step of this.#case.fixture ?? []) {
      layOut(step, this.#scope);
    }
    for (const [index, step] of this.#case.script.entries()) {
      try {
        await this.#step(step);
      } catch (error) {
        throw new Error(`step ${index + 1}: ${(error as Error).message}`, { cause: error });
      }
    }
    await sleep(settleMs);
    const ignored = new Set((this.#case.ignore_streams ?? []).map((id) => `stream ${id}`));
    for (const connection of this.#connections.values()) {
      const extra = connection.unused().find(({ key }) => !ignored.has(key));
      if (extra !== undefined) {
        throw new Error(`connection ${connection.name}: extra frame ${printable(extra.raw)}`);
      }
    }
  }

  close(): void {
    for (const connection of this.#connections.values()) {
      connection.close();
    }
  }

  async #connection(name = 'a'): Promise<Connection> {
    let connection = this.#connections.get(name);
    if (connection === undefined) {
      connection = await Connection.open(name, this.#daemon.socketPath);
      this.#connections.set(name, connection);
    }
    return connection;
  }

  async #step(step: Step): Promise<void> {
    const timeoutMs = (step.timeout_ms ?? defaultTimeoutMs) * patience;
    if ('fixture' in step) {
      for (const one of step.fixture) {
        layOut(one, this.#scope);
      }
      return;
    }
    if ('check' in step) {
      for (const one of step.check) {
        await this.#check(one);
      }
      return;
    }
    if ('sleep_ms' in step) {
      await sleep(step.sleep_ms >= longSleepMs ? step.sleep_ms * patience : step.sleep_ms);
      return;
    }
    if ('close' in step) {
      this.#connections.get(step.close)?.close();
      this.#connections.delete(step.close);
      return;
    }
    if ('http_get' in step) {
      await this.#httpGet(step);
      return;
    }
    const connection = await this.#connection(step.open ?? step.conn);
    if ('open' in step) {
      return;
    }
    if ('call' in step) {
      await this.#send(connection, [step.call], step);
      await this.#expect(connection, [step.reply], timeoutMs, step);
    } else if ('send' in step) {
      await this.#send(connection, [step.send].flat(), step);
    } else if ('expect' in step) {
      await this.#expect(connection, step.expect, timeoutMs, step);
    } else if ('streams' in step) {
      await this.#streams(connection, step, timeoutMs);
    } else if ('capture_line' in step) {
      await this.#captureLine(connection, step, timeoutMs);
    } else if ('closed' in step) {
      await this.#closed(connection, step, timeoutMs);
    } else if ('silent_ms' in step) {
      await this.#silent(connection, step.silent_ms);
    } else if ('replay_window' in step) {
      await this.#replayWindow(connection, step, timeoutMs);
    } else {
      throw new Error(`the case has an unknown step: ${JSON.stringify(step)}`);
    }
  }

  async #send(connection: Connection, lines: readonly string[], step: Step): Promise<void> {
    const bytes = lines.map((line) => {
      const [head = '', tail = ''] = line.split('{{PAD}}').map((part) => this.#scope.expand(part));
      const room = step.pad_to === undefined ? 0 : step.pad_to - head.length - tail.length;
      return head + (step.pad ?? ' ').repeat(room) + tail + (step.eol ?? '\n');
    });
    await connection.send(bytes.join(''), step.chunk);
  }

  /** The key of the frames that a text may match: what stands before its first placeholder. */
  #keyOf(text: string): string {
    const [first] = this.#compile(text);
    return keyOf(first !== undefined && 'literal' in first ? first.literal : '');
  }

  async #expect(connection: Connection, wanted: readonly Expected[], timeoutMs: number, step: Step): Promise<void> {
    let last: Frame | undefined;
    for (const want of wanted) {
      const options = typeof want === 'string' ? [want] : want.any_of;
      const key = this.#keyOf(options[0] ?? '');
      last = await connection.take((frame) => step.ordered === true || frame.key === key, timeoutMs, key);
      this.#matches(connection, last, options, key);
    }
    if (last !== undefined) {
      this.#assertTiming(connection, step, last.at);
    }
  }

  #compile(text: string) {
    return this.#scope.compile(windowsReading(text, this.#case.area));
  }

  #matches(connection: Connection, frame: Frame, options: readonly string[], key: string): void {
    const process = key.startsWith('stream ') ? key.slice(7) : undefined;
    const nextSeq = process === undefined ? undefined : (connection.seq.get(process) ?? 0) + 1;
    const problems: string[] = [];
    for (const option of options) {
      const problem = this.#scope.match(this.#compile(option), frame.raw, nextSeq);
      if (problem === undefined) {
        if (process !== undefined) {
          this.#noteSeq(connection, process, JSON.parse(frame.raw).seq);
        }
        return;
      }
      problems.push(problem);
    }
    throw new Error(`${key}: ${problems.join('\n  or ')}`);
  }

  #noteSeq(connection: Connection, process: string, seq: number): void {
    connection.seq.set(process, seq);
    this.#scope.lastSeq.set(process, Math.max(seq, this.#scope.lastSeq.get(process) ?? 0));
  }

  #assertTiming(connection: Connection, step: Step, at: number): void {
    const took = at - connection.sentAt;
    if (step.after_ms !== undefined && took < step.after_ms) {
      throw new Error(`came after ${took} ms, too early`);
    }
    const most = step.before_ms === undefined ? Number.POSITIVE_INFINITY : step.before_ms * patience;
    if (took > most) {
      throw new Error(`came after ${took} ms, too late`);
    }
  }

  /** Reassembles a process's output; frame boundaries are free, every frame's bytes are not. */
  async #streams(connection: Connection, step: Step, timeoutMs: number): Promise<void> {
    const id: string = step.streams;
    const key = `stream ${id}`;
    if (step.from_seq !== undefined) {
      connection.seq.set(id, step.from_seq - 1);
    }
    const want: Record<string, string | undefined> = {};
    const got: Record<string, string> = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) {
      want[name] = name in step ? this.#scope.expand(step[name]) : undefined;
    }
    const complete = () => Object.entries(want).every(([name, text]) => text === undefined || got[name] === text);
    while ('exit' in step || !complete()) {
      const frame = await connection.take(({ key: found }) => found === key, timeoutMs, `output of ${id}`);
      const value = JSON.parse(frame.raw);
      if (value.stream === 'exit') {
        if (!('exit' in step)) {
          throw new Error(`unexpected exit frame ${printable(frame.raw)}`);
        }
        this.#matches(connection, frame, typeof step.exit === 'string' ? [step.exit] : step.exit.any_of, key);
        break;
      }
      const seq = (connection.seq.get(id) ?? 0) + 1;
      const data = Buffer.from(value.data, 'base64');
      const canonical = `{"type":"stream","processId":${JSON.stringify(id)},"stream":"${value.stream}","seq":${seq},"data":"${data.toString('base64')}"}`;
      if (frame.raw !== canonical) {
        throw new Error(`want: ${canonical}\n    got:  ${printable(frame.raw)}`);
      }
      if (data.length === 0 || data.length > (step.max_frame ?? 32_768)) {
        throw new Error(`${data.length} bytes in a frame`);
      }
      this.#noteSeq(connection, id, seq);
      const wanted = want[value.stream] ?? '';
      const gotten = (got[value.stream] ?? '') + data.toString('latin1');
      got[value.stream] = gotten;
      if (!wanted.startsWith(gotten)) {
        throw new Error(`${value.stream}: want ${printable(wanted)}, got ${printable(gotten)}`);
      }
    }
    if (!complete()) {
      throw new Error(`want ${JSON.stringify(want)}, got ${JSON.stringify(got)}`);
    }
    this.#assertTiming(connection, step, performance.now());
  }

  async #captureLine(connection: Connection, step: Step, timeoutMs: number): Promise<void> {
    const id: string = step.capture_line;
    const frame = await connection.take(({ key }) => key === `stream ${id}`, timeoutMs, `a line of ${id}`);
    const { stream, seq, data } = JSON.parse(frame.raw);
    const line = Buffer.from(data, 'base64').toString('latin1');
    if (stream !== 'stdout' || !/^[^\n]*\n$/.test(line)) {
      throw new Error(`no line: ${printable(frame.raw)}`);
    }
    this.#noteSeq(connection, id, seq);
    this.#scope.values.set(step.as, line.trim());
  }

  async #closed(connection: Connection, step: Step, timeoutMs: number): Promise<void> {
    await connection.until(() => undefined, timeoutMs);
    for (const want of step.allow ?? []) {
      const key = this.#keyOf(want);
      const frame = connection.unused().find((one) => one.key === key);
      if (frame === undefined) {
        continue;
      }
      frame.used = true;
      this.#matches(connection, frame, [want], key);
    }
    const [extra] = connection.unused();
    if (extra !== undefined) {
      throw new Error(`a frame came before the close: ${printable(extra.raw)}`);
    }
    if (connection.partial !== '') {
      throw new Error(`bytes came before the close: ${printable(connection.partial)}`);
    }
    if (!connection.ended) {
      throw new Error(`connection ${connection.name} is still open`);
    }
    this.#connections.delete(connection.name);
  }

  async #silent(connection: Connection, ms: number): Promise<void> {
    await connection.until(() => connection.unused()[0], ms);
    const [extra] = connection.unused();
    if (extra !== undefined) {
      throw new Error(`should stay silent: ${printable(extra.raw)}`);
    }
    if (connection.ended) {
      throw new Error(`connection ${connection.name} was closed`);
    }
  }

  async #replayWindow(connection: Connection, step: Step, timeoutMs: number): Promise<void> {
    const reply = await connection.take(({ key }) => key === `reply ${step.id}`, timeoutMs, 'the reattach reply');
    const frames = connection.unused().filter(({ key }) => key === `stream ${step.replay_window}`);
    for (const frame of frames) {
      frame.used = true;
    }
    const { firstSeq, lastSeq } = JSON.parse(reply.raw).result;
    const seqs = frames.map(({ raw }) => JSON.parse(raw).seq);
    const bytes = frames.reduce((sum, { raw }) => sum + raw.length + 1, 0);
    const whole = seqs.length === lastSeq - firstSeq + 1 && seqs.every((seq, index) => seq === firstSeq + index);
    if (!whole) {
      throw new Error(`the replay is not ${firstSeq}..${lastSeq}: ${seqs.length} frames`);
    }
    if (bytes < step.min_bytes || bytes > step.max_bytes) {
      throw new Error(`the replay holds ${bytes} bytes`);
    }
    if (firstSeq <= 1) {
      throw new Error('nothing was dropped');
    }
  }

  async #check(step: Step): Promise<void> {
    const path = (text: string) => this.#scope.path(text);
    if ('exists' in step) {
      const file = path(step.exists);
      if (!existsSync(file)) {
        throw new Error(`${file} must exist`);
      }
      if ('text' in step && readFileSync(file, 'latin1') !== this.#scope.expand(step.text)) {
        throw new Error(`${file} holds ${printable(readFileSync(file, 'latin1'))}`);
      }
      if ('size' in step && lstatSync(file).size !== step.size) {
        throw new Error(`${file} has ${lstatSync(file).size} bytes`);
      }
    } else if ('absent' in step) {
      if (existsSync(path(step.absent))) {
        throw new Error(`${path(step.absent)} must not exist`);
      }
    } else if ('tree' in step) {
      const found = readdirSync(path(step.tree), { recursive: true }).map((name) => String(name).replaceAll('\\', '/'));
      if (found.sort().join() !== [...step.names].sort().join()) {
        throw new Error(`the tree is ${found}`);
      }
    } else if ('pid_gone' in step || 'pid_alive' in step) {
      const pid = Number(this.#scope.values.get(step.pid_gone ?? step.pid_alive));
      const isAlive = () => platform.processes.identify(pid) !== undefined;
      if ('pid_gone' in step) {
        await waitUntil(() => !isAlive() || undefined, `process ${pid} to be gone`);
      } else if (!isAlive()) {
        throw new Error(`process ${pid} is gone`);
      }
    } else if ('daemon_gone' in step) {
      await waitUntil(async () => !(await this.#daemon.answers()) || undefined, 'the daemon to be gone');
    } else {
      throw new Error(`the case has an unknown check: ${JSON.stringify(step)}`);
    }
  }

  async #httpGet(step: Step): Promise<void> {
    const [host, port, path] = step.http_get;
    const body = await httpGet(host, Number(this.#scope.expand(port)), path);
    for (const pattern of step.lines) {
      if (!new RegExp(pattern, 'm').test(body)) {
        throw new Error(`no line matches ${pattern}:\n${body}`);
      }
    }
  }
}

/** The names a case may use; slashes, because the texts of the cases are JSON. */
export function fixedNames(daemon: WindowsDaemon, folder: string, port: number): Record<string, string> {
  const slashes = (path: string) => path.replaceAll('\\', '/');
  return {
    TMP: slashes(folder),
    WINDOWS_TMP: folder.replaceAll('\\', '\\\\'),
    OS: platform.os,
    ARCH: platform.arch,
    TOKEN: daemon.token,
    TOKENFILE: slashes(daemon.tokenFile),
    SOCK: slashes(daemon.socketPath),
    SOCKDIR: slashes(daemon.runFolder),
    HOME: slashes(daemon.home),
    WORKDIR: slashes(daemon.work),
    PORT: String(port),
  };
}
