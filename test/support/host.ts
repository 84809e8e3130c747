/** Connections of the library to a test's daemon, straight or through the fault proxy. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  type ConnectOptions,
  connect,
  type Exit,
  type Host,
  type Session,
  type SpawnOptions,
} from '../../src/client/index.ts';
import { type FaultProxy, type ProxyOptions, startFaultProxy } from '../tools/fault-proxy.ts';
import type { TestDaemon } from './daemon.ts';

/** Pauses short enough for a test that cuts often. */
export const quick = { retry: { firstMs: 5, maxMs: 50 } } as const satisfies ConnectOptions;

export function connectTo(
  { socket, token }: Pick<TestDaemon, 'socket' | 'token'>,
  options: ConnectOptions = {},
): Promise<Host> {
  return connect({ socket, token, ...quick, ...options });
}

export function proxyTo(
  daemon: TestDaemon,
  rules: Pick<ProxyOptions, 'toTarget' | 'toClient'> = {},
  name = 'proxy.sock',
): Promise<FaultProxy> {
  return startFaultProxy({ listen: join(daemon.dir, name), target: daemon.socket, ...rules });
}

export interface Collected {
  readonly bytes: number;
  readonly sha256: string;
}

/** Reads a stream to its end, and keeps figures of it only. */
export async function collect(stream: ReadableStream<Uint8Array>): Promise<Collected> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { bytes, sha256: hash.digest('hex') };
}

export async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  return (await bytesOf(stream)).toString();
}

/** Reads until exactly this text has come, and leaves the stream open. */
export async function untilText(stream: ReadableStream<Uint8Array>, expected: string): Promise<void> {
  const reader = stream.getReader();
  let text = '';
  while (text !== expected) {
    const { value, done } = await reader.read();
    text += Buffer.from(value ?? []).toString();
    if (done || !expected.startsWith(text)) {
      throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(text)}${done ? ' and the end' : ''}`);
    }
  }
  reader.releaseLock();
}

/** A session and all that its program has said so far, for a test that looks at it while it goes on. */
export class Followed {
  readonly session: Session;
  stdout = '';
  stderr = '';
  readonly #read: Promise<unknown>;
  /** Told of each piece, and of the end. */
  readonly #looks = new Set<() => void>();
  #isOver = false;

  constructor(session: Session) {
    this.session = session;
    this.#read = Promise.all([this.#take('stdout'), this.#take('stderr')]).finally(() => {
      this.#isOver = true;
      this.#tell();
    });
    this.#read.catch(() => {});
  }

  get pid(): number {
    const { pid, id } = this.session;
    if (pid === undefined) {
      throw new Error(`the daemon does not tell the pid of ${id}`);
    }
    return pid;
  }

  /** Resolves when its stdout holds `text`. */
  async until(text: string): Promise<void> {
    while (!this.stdout.includes(text)) {
      if (this.#isOver) {
        await this.#read;
        throw new Error(`${this.session.id} ended without ${JSON.stringify(text)}: ${JSON.stringify(this.stdout)}`);
      }
      await new Promise<void>((resolve) => this.#looks.add(resolve));
    }
  }

  /** Resolves behind the last byte. */
  async ended(): Promise<Exit> {
    await this.#read;
    return this.session.exit;
  }

  write(data: string | Uint8Array): Promise<void> {
    return this.session.write(data);
  }

  kill(signal?: string): Promise<void> {
    return this.session.kill(signal);
  }

  async #take(name: 'stdout' | 'stderr'): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.session[name]) {
      this[name] += decoder.decode(bytes, { stream: true });
      this.#tell();
    }
  }

  #tell(): void {
    const looks = [...this.#looks];
    this.#looks.clear();
    for (const look of looks) {
      look();
    }
  }
}

/** Starts a program under a name of the test's own, and follows it. */
export async function start(
  host: Host,
  id: string,
  command: string,
  args: readonly string[] = [],
  more: Partial<SpawnOptions> = {},
): Promise<Followed> {
  return new Followed(await host.spawn({ id, command, args, ...more }));
}
