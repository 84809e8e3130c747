/** One connection of a case: raw lines out, frames in, each found by its id or process. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { platform } from '../daemon.ts';
import { printable } from './templates.ts';

export interface Frame {
  readonly raw: string;
  /** `reply <id as text>`, `stream <process id>` or `text`. */
  readonly key: string;
  readonly at: number;
  used: boolean;
}

const chunkPauseMs = 5;

export class Connection {
  readonly name: string;
  readonly frames: Frame[] = [];
  readonly seq = new Map<string, number>();
  partial = '';
  ended = false;
  sentAt = performance.now();
  readonly #socket: Socket;
  readonly #waiting = new Set<() => void>();

  static async open(name: string, socketPath: string): Promise<Connection> {
    return new Connection(name, await platform.transport.dial(socketPath));
  }

  private constructor(name: string, socket: Socket) {
    this.name = name;
    this.#socket = socket;
    socket.on('data', (bytes) => this.#receive(bytes.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.ended = true;
      this.#wake();
    });
  }

  async send(bytes: string, chunk?: number): Promise<void> {
    this.sentAt = performance.now();
    const size = chunk ?? bytes.length;
    for (let at = 0; at < bytes.length && !this.ended; at += size) {
      await new Promise<void>((resolve) => {
        this.#socket.write(Buffer.from(bytes.slice(at, at + size), 'latin1'), () => resolve());
      });
      if (chunk !== undefined) {
        await sleep(chunkPauseMs);
      }
    }
  }

  /** Waits for a frame, takes it, and returns it. @throws with what else came */
  async take(pick: (frame: Frame) => boolean, timeoutMs: number, what: string): Promise<Frame> {
    const found = await this.until(() => this.frames.find((frame) => !frame.used && pick(frame)), timeoutMs);
    if (found === undefined) {
      const state = this.ended ? 'the daemon closed the connection' : `nothing within ${timeoutMs} ms`;
      const others = this.unused().slice(0, 4);
      throw new Error(
        [`connection ${this.name}: waited for ${what}: ${state}`, ...others.map(({ raw }) => printable(raw))].join(
          '\n    ',
        ),
      );
    }
    found.used = true;
    return found;
  }

  unused(): Frame[] {
    return this.frames.filter((frame) => !frame.used);
  }

  /** The first value of `look`; `undefined` when the time is over or the connection ended without it. */
  until<T>(look: () => T | undefined, timeoutMs: number): Promise<T | undefined> {
    return new Promise((resolve) => {
      const settle = (value: T | undefined) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve(value);
      };
      const check = () => {
        const value = look();
        if (value !== undefined || this.ended) {
          settle(value);
        }
      };
      const timer = setTimeout(() => settle(undefined), timeoutMs);
      this.#waiting.add(check);
      check();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(bytes: string): void {
    const lines = (this.partial + bytes).split('\n');
    this.partial = lines.pop() ?? '';
    const at = performance.now();
    for (const raw of lines) {
      this.frames.push({ raw, key: keyOf(raw), at, used: false });
    }
    this.#wake();
  }

  #wake(): void {
    for (const check of [...this.#waiting]) {
      check();
    }
  }
}

/** Both a frame and an expected text have their id or process literally at their head. */
export function keyOf(text: string): string {
  const stream = /^\{"type":"stream","processId":("(?:[^"\\]|\\.)*")/.exec(text);
  if (stream !== null) {
    return `stream ${JSON.parse(stream[1] ?? '')}`;
  }
  const reply = /^\{"jsonrpc":"2\.0","id":("(?:[^"\\]|\\.)*"|[^,]*),/.exec(text);
  return reply === null ? 'text' : `reply ${reply[1]}`;
}
