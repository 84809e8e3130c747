/**
 * What a daemon that echoes (every process is `cat`) is to answer, as far as the requests alone decide it, and a
 * reader that holds every frame to it: for test/engine/model.test.ts.
 */
import { expect } from 'vitest';
import type { RawConnection } from '../tools/raw-connection.ts';

export type Generation = 'S' | 'current' | 'next';
/** Whose connection: the two clients of a run. */
export type Who = 0 | 1;

export type Outcome = { readonly result: object } | { readonly error: string };

/** One process. */
export interface Process {
  /** Every byte that was accepted, in order: the child echoes them. */
  input: Buffer;
  running: boolean;
  receiver: Who | undefined;
}

/** The whole daemon: processes by id (spec process.md §2). */
export class Model {
  readonly generation: Generation;
  readonly processes = new Map<string, Process>();

  constructor(generation: Generation) {
    this.generation = generation;
  }

  spawn(id: string, who: Who): Outcome {
    this.processes.set(id, { input: Buffer.alloc(0), running: true, receiver: who });
    return { result: { success: true } };
  }

  /** spec process.md §5.1, §5.2 */
  stdin(id: string, data: Buffer, offset: number | undefined): Outcome {
    const process = this.processes.get(id);
    if (process === undefined) {
      return { error: 'Process not found' };
    }
    if (!process.running && this.generation === 'S') {
      return { error: 'Process not running' };
    }
    const applied = process.input.length;
    if (offset !== undefined && offset > applied) {
      return { error: 'stdin offset gap: offset ahead of applied bytes' };
    }
    if (offset !== undefined && offset < applied && offset + data.length <= applied) {
      return { result: { success: true, applied, duplicate: true } };
    }
    if (!process.running) {
      return { error: 'Process not running' };
    }
    process.input = Buffer.concat([process.input, data.subarray(offset === undefined ? 0 : applied - offset)]);
    return { result: { success: true, applied: process.input.length } };
  }

  killAndWait(id: string): Outcome {
    const process = this.processes.get(id);
    if (process === undefined) {
      return { result: { found: false, died: false } };
    }
    const alreadyExited = process.running ? {} : { alreadyExited: true };
    process.running = false;
    return { result: { found: true, died: true, ...alreadyExited } };
  }

  /** What of the answer the requests decide; the numbers of frames are the child's business. */
  reattach(id: string, who: Who): { found: boolean; running: boolean; stdinApplied: number; closes: Who | undefined } {
    const process = this.processes.get(id);
    if (process === undefined) {
      return { found: false, running: false, stdinApplied: 0, closes: undefined };
    }
    const old = process.receiver;
    const closes = this.generation === 'next' && old !== undefined && old !== who ? old : undefined;
    if (closes !== undefined) {
      this.leave(closes);
    }
    process.receiver = who;
    return { found: true, running: process.running, stdinApplied: process.input.length, closes };
  }

  leave(who: Who): void {
    for (const process of this.processes.values()) {
      if (process.receiver === who) {
        process.receiver = undefined;
      }
    }
  }
}

/** The frames of one process, as they were first seen by anybody. */
export class Record {
  readonly #frames = new Map<number, string>();

  /** A frame has the same bytes whenever and to whomever it is sent. */
  add(seq: number, raw: string): void {
    const known = this.#frames.get(seq);
    if (known === undefined) {
      this.#frames.set(seq, raw);
    } else {
      expect(raw).toBe(known);
    }
  }

  /** Decoded output of frames 1, 2, 3 … up to the first one nobody has seen. */
  get output(): Buffer {
    const pieces: Buffer[] = [];
    for (let seq = 1; this.#frames.has(seq); seq++) {
      const { data } = JSON.parse(this.#frames.get(seq) as string);
      if (data !== undefined) {
        pieces.push(Buffer.from(data, 'base64'));
      }
    }
    return Buffer.concat(pieces);
  }

  get last(): { seq: number; raw: string } {
    const seq = Math.max(0, ...this.#frames.keys());
    return { seq, raw: this.#frames.get(seq) ?? '' };
  }
}

/** What one connection may be sent of one process. */
interface Subscription {
  readonly record: Record;
  /** seq of the next frame. */
  next: number;
  /** Set by a takeover: nothing above this number any more. */
  last: number;
}

/** Reads a connection line by line; a frame that is not the next one of its process fails the run. */
export class Reader {
  readonly client: RawConnection;
  readonly subscriptions = new Map<string, Subscription>();
  #read = 0;
  /** Numbers of the frames of the process being reattached, since the request. */
  #replay: { readonly id: string; readonly record: Record; readonly seqs: number[] } | undefined;

  constructor(client: RawConnection) {
    this.client = client;
  }

  /** From the reply with this request id on, frames of `id` are those of `record`, from number 1. */
  async spawned(id: string, record: Record, request: number): Promise<void> {
    const reply = await this.#reply(request);
    this.#readUntil(reply);
    this.subscriptions.set(id, { record, next: 1, last: Number.POSITIVE_INFINITY });
    this.readAll();
  }

  /** Holds a replay to its answer: exactly the frames asked for, right before the reply (spec process.md §8). */
  async reattached(id: string, record: Record, fromSeq: number, request: number): Promise<{ lastSeq: number }> {
    this.readAll();
    this.#replay = { id, record, seqs: [] };
    const reply = await this.#reply(request);
    this.#readUntil(reply);
    const { seqs } = this.#replay;
    this.#replay = undefined;
    const { firstSeq, lastSeq } = JSON.parse(reply).result;
    const first = Math.max(fromSeq + 1, firstSeq);
    const expected = Array.from({ length: Math.max(0, lastSeq - first + 1) }, (_, index) => first + index);
    const owed = seqs.slice(0, seqs.length - expected.length);
    expect(seqs.slice(owed.length)).toEqual(expected);
    const { next = 0, last = 0 } = this.subscriptions.get(id) ?? {};
    expect(owed).toEqual(owed.map((_, index) => next + index));
    if (owed.length > 0) {
      expect(owed.at(-1)).toBeLessThanOrEqual(Math.min(last, lastSeq));
    }
    this.subscriptions.set(id, { record, next: lastSeq + 1, last: Number.POSITIVE_INFINITY });
    this.readAll();
    return { lastSeq };
  }

  readAll(): void {
    this.#readUntil(undefined);
  }

  async #reply(request: number): Promise<string> {
    const reply = await this.client.waitFor(
      () => this.client.replies.find(({ id }) => id === request),
      `the reply ${request}`,
    );
    return reply.raw;
  }

  #readUntil(stop: string | undefined): void {
    while (this.#read < this.client.lines.length) {
      const raw = this.client.lines[this.#read++] as string;
      if (raw === stop) {
        return;
      }
      const { processId, seq } = JSON.parse(raw);
      if (processId === undefined) {
        continue;
      }
      if (this.#replay?.id === processId) {
        this.#replay?.record.add(seq, raw);
        this.#replay?.seqs.push(seq);
      } else {
        this.#take(processId, seq, raw);
      }
    }
  }

  #take(id: string, seq: number, raw: string): void {
    const subscription = this.subscriptions.get(id);
    expect({ id, seq }).toEqual({ id, seq: subscription?.next });
    if (subscription === undefined) {
      return;
    }
    expect(seq).toBeLessThanOrEqual(subscription.last);
    subscription.next = seq + 1;
    subscription.record.add(seq, raw);
  }
}
