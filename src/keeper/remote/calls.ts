/** Calls to the keeper: those that wait for a channel, those that wait for their answer, and how each is settled. */
import { SystemCallError } from '../../../platform/errors.ts';
import { failpoint } from '../../base/failpoints.ts';
import type { Reader } from '../../engine/session-engine.ts';
import type { Channel } from '../channel/channel.ts';
import { type Call, readFailure, type SentFailure } from '../channel/values.ts';
import type { ReaderNumbers } from './reader-numbers.ts';

interface PendingCall {
  readonly call: Call;
  readonly data: Buffer | undefined;
  readonly reader: Reader | undefined;
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/** A process that the keeper may have started. */
export interface AskedSpawn {
  readonly id: string;
  /** When it was asked for, in milliseconds since 1970. */
  readonly at: number;
}

export interface CallsOptions {
  readonly readers: ReaderNumbers;
  /** A call needs a channel and there is none. Not called again before `begin` or `failed`. */
  wantsChannel(): void;
  /** A call is about to be sent. */
  beforeSend(): void;
  /** What the caller gets for what the keeper has sent. */
  read(call: Call, sent: unknown): unknown;
}

export class Calls {
  readonly #options: CallsOptions;
  /** There while the keeper knows our settings and has told its state. */
  #channel: Channel | undefined;
  #isWanted = false;
  #isClosed = false;
  readonly #sent = new Map<number, PendingCall>();
  /** When those among them that start a process were sent. */
  readonly #spawnedAt = new WeakMap<PendingCall, number>();
  /** Calls that wait for a channel, in their order. */
  #waiting: PendingCall[] = [];
  #last = 0;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  ask<R>(call: Call, reader?: Reader, data?: Buffer): Promise<R> {
    return new Promise((resolve, reject) => {
      const pending: PendingCall = {
        call,
        // The bytes are valid during this call only, and may have to wait.
        data: data === undefined || this.#channel !== undefined ? data : Buffer.from(data),
        ...{ reader, resolve: resolve as PendingCall['resolve'], reject },
      };
      if (reader !== undefined) {
        this.#options.readers.use(reader);
      }
      if (this.#isClosed) {
        this.#settle(pending, () => reject(shuttingDown()));
      } else if (this.#channel !== undefined) {
        this.#send(this.#channel, pending);
      } else {
        this.#waiting.push(pending);
        this.#want();
      }
    });
  }

  #want(): void {
    if (!this.#isWanted) {
      this.#isWanted = true;
      this.#options.wantsChannel();
    }
  }

  #send(channel: Channel, asked: PendingCall): void {
    failpoint('channel.call.before');
    this.#options.beforeSend();
    this.#last = (this.#last + 1) >>> 0;
    // The channel may keep the bytes longer than this call.
    const pending = asked.data === undefined ? asked : { ...asked, data: Buffer.from(asked.data) };
    this.#sent.set(this.#last, pending);
    if (pending.call.method === 'spawn') {
      this.#spawnedAt.set(pending, Date.now());
    }
    channel.send('call', this.#last, pending.call, pending.data);
    failpoint('channel.call.after');
  }

  /** What the keeper was asked to start, and has not answered. */
  get askedSpawns(): readonly AskedSpawn[] {
    return [...this.#sent.values()].flatMap((pending) => {
      const at = this.#spawnedAt.get(pending);
      return pending.call.method !== 'spawn' || at === undefined ? [] : [{ id: pending.call.request.id, at }];
    });
  }

  /** Whoever asked has gone: the keeper need not hold the bytes any longer. */
  abandon(call: Call): void {
    for (const [id, pending] of this.#sent) {
      if (pending.call === call) {
        this.#channel?.send('abandon', id);
      }
    }
  }

  // ---- the channel

  /** Calls that waited are made. */
  begin(channel: Channel): void {
    this.#channel = channel;
    this.#isWanted = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const call of waiting) {
      this.#send(channel, call);
    }
  }

  /** The channel has ended. @param again the keeper has done nothing of what it has not answered: it is asked again */
  ended(reason: string, again: boolean): void {
    const calls = [...this.#sent.values()];
    this.#sent.clear();
    if (again && !this.#isClosed) {
      this.#waiting.push(...calls);
      if (calls.length > 0) {
        this.#want();
      }
      return;
    }
    const error = unreachable(reason);
    for (const call of calls) {
      this.#settle(call, () => call.reject(error));
    }
  }

  /** There is no channel from now on, until `begin`. */
  pause(): void {
    this.#channel = undefined;
  }

  /** There will be no channel for now: calls that wait are refused with `error`. */
  failed(error: Error): void {
    this.#isWanted = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const call of waiting) {
      this.#settle(call, () => call.reject(error));
    }
  }

  /** Every call is refused from now on, those that wait for a channel too. */
  close(): void {
    this.#isClosed = true;
    this.failed(shuttingDown());
  }

  // ---- what comes back

  result(id: number, value: unknown): void {
    failpoint('channel.result.before');
    const pending = this.#sent.get(id);
    if (pending === undefined) {
      return;
    }
    this.#sent.delete(id);
    if (pending.call.method === 'sessions') {
      // What is told after the list comes after it for whoever has asked.
      this.#channel?.holdUntilNextTurn();
    }
    const result = this.#options.read(pending.call, value);
    this.#settle(pending, () => pending.resolve(result as never));
  }

  failure(id: number, value: SentFailure): void {
    const pending = this.#sent.get(id);
    if (pending !== undefined) {
      this.#sent.delete(id);
      this.#settle(pending, () => pending.reject(readFailure(value)));
    }
  }

  #settle({ reader }: PendingCall, work: () => void): void {
    work();
    if (reader !== undefined) {
      this.#options.readers.unuse(reader);
    }
  }
}

function shuttingDown(): SystemCallError {
  return new SystemCallError('the daemon is shutting down', 'ESHUTDOWN');
}

/** What clients are told whose request cannot reach the keeper (spec durable.md §3). */
export function unreachable(reason: string): SystemCallError {
  return new SystemCallError(`session keeper unreachable: ${reason}`, 'EPIPE');
}
