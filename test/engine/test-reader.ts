/**
 * A client of an engine as a connection is one: it pulls what its streams have, and keeps everything in one order. What
 * came is told in words: `p stdout 1 text`, `p exit 2 code 0`, `reply …`, `p gap 3-7`.
 */
import { EngineFailure } from '../../src/engine/failures.ts';
import type { Mark } from '../../src/engine/mark.ts';
import type { FrameStream, MaybePromise, Reader } from '../../src/engine/session-engine.ts';
import { readStreamFrame, type StreamFrame } from '../support/streams.ts';
import { waitUntil } from '../support/wait.ts';

/** Bytes taken at once, as a connection does. */
const takeBytes = 256 * 1024;

export class TestReader implements Reader {
  /** Frames, replies and gaps in the order in which they came. */
  readonly got: string[] = [];
  readonly frames = new Map<string, StreamFrame[]>();
  /** What the engine told: `attached p`, `replaced p`, `over p`, `fell behind p 7`. */
  readonly told: string[] = [];
  readonly streams = new Set<FrameStream>();
  #holding = false;
  #scheduled = false;
  #taken = 0;

  // ---- what a connection does with its requests

  /** Makes a call and puts the reply where it belongs, as soon as the engine's answer is known. @returns the engine's answer */
  ask<T extends { readonly mark?: Mark | undefined } | undefined>(text: string, answer: MaybePromise<T>): Promise<T> {
    const reply = (known: T): T => {
      this.reply(known?.mark, text);
      return known;
    };
    return answer instanceof Promise ? answer.then(reply) : Promise.resolve(reply(answer));
  }

  reply(mark: Mark | undefined, text: string): void {
    if (mark?.fill(`reply ${text}`) !== true) {
      this.got.push(`reply ${text}`);
    }
  }

  /** Takes nothing from now on: the client does not read. */
  hold(): void {
    this.#holding = true;
  }

  /** Takes everything again. */
  goOn(): void {
    this.#holding = false;
    this.#schedule();
  }

  /** The connection is gone. */
  disconnect(): void {
    for (const stream of this.streams) {
      stream.leave();
    }
    this.streams.clear();
  }

  // ---- what came

  /** The output of a process so far. */
  output(id: string, stream: 'stdout' | 'stderr' = 'stdout'): string {
    const pieces = (this.frames.get(id) ?? []).flatMap((frame) => (frame.stream === stream ? [frame.data] : []));
    return Buffer.concat(pieces).toString();
  }

  seqs(id: string): number[] {
    return (this.frames.get(id) ?? []).map(({ seq }) => seq);
  }

  lastSeq(id: string): number {
    return this.seqs(id).at(-1) ?? 0;
  }

  raw(id: string): string[] {
    return (this.frames.get(id) ?? []).map(({ raw }) => raw);
  }

  /** Where something came; -1: it did not. */
  placeOf(text: string): number {
    return this.got.findIndex((entry) => entry.startsWith(text));
  }

  until(text: string): Promise<true> {
    return this.#wait(() => this.placeOf(text) >= 0, JSON.stringify(text));
  }

  untilOutput(id: string, text: string): Promise<true> {
    return this.#wait(() => this.output(id).includes(text), `${JSON.stringify(text)} from ${id}`);
  }

  untilExit(id: string): Promise<true> {
    return this.until(`${id} exit`);
  }

  #wait(look: () => boolean, what: string): Promise<true> {
    return waitUntil(() => look() || undefined, what).catch((error: Error) => {
      throw new Error(`${error.message}; had ${JSON.stringify(this.got.slice(-20))}, told ${this.told.slice(-10)}`);
    });
  }

  // ---- what the engine calls

  attached(stream: FrameStream): void {
    this.told.push(`attached ${stream.processId}`);
    this.streams.add(stream);
  }

  ready(): void {
    this.#schedule();
  }

  fellBehind(stream: FrameStream, seq: number): void {
    this.told.push(`fell behind ${stream.processId} ${seq}`);
    stream.leave();
    this.streams.delete(stream);
  }

  replaced(stream: FrameStream): void {
    this.told.push(`replaced ${stream.processId}`);
  }

  over(stream: FrameStream): void {
    this.told.push(`over ${stream.processId}`);
    this.streams.delete(stream);
  }

  unplaced(reply: string): void {
    this.got.push(reply);
  }

  lost(stream: FrameStream): void {
    this.told.push(`lost ${stream.processId}`);
    this.streams.delete(stream);
  }

  progress(): number {
    return this.#taken;
  }

  // ---- taking

  #schedule(): void {
    if (!this.#scheduled && !this.#holding) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#takeAll();
      });
    }
  }

  #takeAll(): void {
    for (const stream of this.streams) {
      while (!this.#holding && this.#takeOnce(stream)) {
        // Until the stream is dry.
      }
      if (stream.done) {
        this.streams.delete(stream);
      }
    }
  }

  /** @returns whether there was something */
  #takeOnce(stream: FrameStream): boolean {
    const item = stream.take(takeBytes);
    if (item === undefined) {
      return false;
    }
    if (item.kind === 'reply') {
      this.got.push(item.reply);
    } else if (item.kind === 'gap') {
      this.got.push(`${stream.processId} gap ${item.from}-${item.to}`);
    } else {
      this.#taken += item.bytes.length;
      this.#takeFrames(item.bytes, stream.processId);
      item.release();
    }
    return true;
  }

  #takeFrames(bytes: Buffer, id: string): void {
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      const line = Buffer.from(bytes.subarray(start, end));
      const frame = readStreamFrame(line, line.toString());
      start = end + 1;
      if (frame === undefined) {
        throw new Error(`not a frame: ${line}`);
      }
      const all = this.frames.get(id) ?? [];
      this.frames.set(id, all);
      all.push(frame);
      const what = frame.stream === 'exit' ? `code ${frame.exitCode}` : frame.data.toString('utf8', 0, 40).trimEnd();
      this.got.push(`${id} ${frame.stream} ${frame.seq} ${what}`);
    }
  }
}

/** The kind of the failure, or its words; `undefined`: there was none. A failure that is thrown at once is like one that comes. */
export async function failureOf(call: () => unknown): Promise<string | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error instanceof EngineFailure ? error.kind : (error as Error).message;
  }
}
