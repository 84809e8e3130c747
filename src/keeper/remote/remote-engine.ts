/**
 * The engine of a daemon whose sessions live in a keeper: every call goes over the channel, and what comes back is put in
 * order for the readers here. It has no state of a session that it could lose.
 */
import { SystemCallError } from '../../../platform/errors.ts';
import type { SharedMemory } from '../../../platform/shared-memory.ts';
import type { Counters } from '../../base/counters.ts';
import { messageOf } from '../../base/error-texts.ts';
import { failpoint } from '../../base/failpoints.ts';
import type { Log } from '../../base/log.ts';
import { Mark } from '../../engine/mark.ts';
import type {
  ClosedEngine,
  EndRequest,
  EndResult,
  InputPlace,
  InputResult,
  Opened,
  Reader,
  ReaderRole,
  SessionEngine,
  SessionEvent,
  SessionInfo,
  SessionListener,
  SpawnRequest,
} from '../../engine/session-engine.ts';
import type { Channel } from '../channel/channel.ts';
import { ChannelError, type Message } from '../channel/message-reader.ts';
import {
  type Call,
  type FrontSettings,
  type KeeperState,
  readEvent,
  readFailure,
  readSessions,
  readSpawn,
  type SentEndResult,
  type SentFailure,
  type SentLogLine,
  type SentMemory,
  type SentOpened,
  type SentPlace,
  type SentShared,
  sentEnd,
  sentSpawn,
} from '../channel/values.ts';
import { RemoteStream, type RemoteStreamOwner } from './remote-stream.ts';
import { SessionBook } from './session-book.ts';
import { SharedFrames } from './shared-frames.ts';

export interface RemoteEngineOptions {
  readonly settings: FrontSettings;
  readonly log: Log;
  readonly counters: Counters;
  /** PATH of the login shell, once it is known. */
  readonly shellPath: { wait(): Promise<void>; readonly value: string | undefined };
  readonly shellAgent: { socket(): Promise<string | undefined> } | undefined;
  /** `undefined`: all frames cross the channel. */
  readonly sharedMemory?: SharedMemory | undefined;
  /** A call needs a channel and there is none: somebody is to see to it. Not called again before `connected` or `failed`. */
  wantsChannel(): void;
  /** The channel has ended; `disconnected` sessions have been told. */
  channelEnded(reason: string): void;
}

interface PendingCall {
  readonly call: Call;
  readonly data: Buffer | undefined;
  readonly reader: Reader | undefined;
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/** Taken bytes of a stream are told at the latest after so many, or so soon. */
const tellTakenBytes = 128 * 1024;
const tellTakenMs = 20;

export class RemoteEngine implements SessionEngine, RemoteStreamOwner {
  readonly #options: RemoteEngineOptions;
  #channel: Channel | undefined;
  /** The keeper knows our settings and has told its state. */
  #ready = false;
  #wanted = false;
  #closing = false;
  readonly #calls = new Map<number, PendingCall>();
  /** Calls that wait for a channel, in their order. */
  #waiting: PendingCall[] = [];
  #lastCall = 0;
  readonly #streams = new Map<number, RemoteStream>();
  readonly #readerIds = new WeakMap<Reader, number>();
  /** Readers that a call has named or that have a stream. */
  readonly #readers = new Map<number, { readonly reader: Reader; uses: number }>();
  #lastReader = 0;
  readonly #taken = new Map<RemoteStream, { bytes: number; lastSeq: number }>();
  #takenTimer: NodeJS.Timeout | undefined;
  readonly #listeners = new Set<SessionListener>();
  /** Frames in memory of the keeper that we are connected to. */
  #shared: SharedFrames | undefined;
  /** The same of earlier channels, which clients may still be sent. */
  #unsettled = 0;
  #distrustsMemory = false;
  /** The keeper ends by itself: it has done what it has answered and nothing else. */
  #saidFarewell = false;
  #isToldMemory = false;
  /** What would be told if the keeper died. */
  readonly book = new SessionBook();
  #running = 0;

  constructor(options: RemoteEngineOptions) {
    this.#options = options;
  }

  // ---- the channel

  get isConnected(): boolean {
    return this.#ready;
  }

  /**
   * A keeper that has proved who it is. Calls that waited are made. Resolves with what the keeper has told first.
   * @param keeper its pid
   */
  connected(channel: Channel, keeper: number): Promise<KeeperState> {
    this.#channel = channel;
    const told = Promise.withResolvers<KeeperState>();
    channel.handle({
      onMessage: (message) => {
        if (message.name === 'state') {
          this.#begin(message.value as KeeperState);
          told.resolve(message.value as KeeperState);
        } else if (message.name === 'memory') {
          this.#map(channel, keeper, message.value as SentMemory);
        } else {
          this.#take(message);
        }
      },
      onEnd: (reason) => {
        told.reject(new Error(reason));
        this.#ended(channel, reason);
      },
    });
    channel.send('settings', 0, this.#options.settings);
    const { shellPath } = this.#options;
    void shellPath.wait().then(() => channel.send('shellPath', 0, shellPath.value ?? null));
    return told.promise;
  }

  #begin({ sessions }: KeeperState): void {
    this.book.begin(sessions);
    this.#running = sessions.filter(({ state }) => state !== 'exited').length;
    this.#ready = true;
    this.#wanted = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const call of waiting) {
      this.#send(call);
    }
  }

  /** Frames may lie in memory of the keeper: it is told whether we can read them there. */
  #map(channel: Channel, keeper: number, told: SentMemory): void {
    const { sharedMemory, log } = this.#options;
    this.#isToldMemory = true;
    this.#tellSettled();
    if (sharedMemory === undefined || this.#distrustsMemory || this.#shared !== undefined) {
      return;
    }
    try {
      this.#shared = new SharedFrames(channel, keeper, told, sharedMemory, () => {
        this.#unsettled--;
        this.#tellSettled();
      });
      channel.send('mapped', 0);
    } catch (error) {
      this.#distrustsMemory = true;
      log.warn(
        'keeper',
        `the output of pid ${keeper} cannot be read in shared memory (${messageOf(error)}); it crosses the channel as bytes, which takes more CPU time`,
      );
    }
  }

  /** Nothing of earlier channels is needed any more: a keeper that has memory may write there again. */
  #tellSettled(): void {
    if (this.#unsettled === 0 && this.#isToldMemory) {
      this.#channel?.send('settled', 0);
    }
  }

  #sharedCame(id: number, [firstSeq, lastSeq, isPromised, at, bytes]: SentShared): void {
    let frames: ReturnType<SharedFrames['came']>;
    try {
      if (this.#shared === undefined) {
        throw new ChannelError('frames in shared memory that was not told');
      }
      frames = this.#shared.came(at, bytes);
    } catch (error) {
      this.#distrustsMemory = true;
      this.#channel?.close(messageOf(error));
      return;
    }
    let isHeld = false;
    this.#streams.get(id)?.framesCame(frames.bytes, firstSeq, lastSeq, isPromised === 1, () => {
      isHeld = true;
      return frames.free;
    });
    if (!isHeld) {
      frames.free();
    }
  }

  /** There will be no channel for now: calls that wait are refused with `error`. */
  failed(error: Error): void {
    this.#wanted = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const call of waiting) {
      this.#settle(call, () => call.reject(error));
    }
  }

  #ended(channel: Channel, reason: string): void {
    if (this.#channel !== channel) {
      return;
    }
    this.#channel = undefined;
    this.#ready = false;
    const shared = this.#shared;
    this.#shared = undefined;
    this.#isToldMemory = false;
    if (shared !== undefined) {
      this.#unsettled++;
      shared.close();
    }
    this.#taken.clear();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    this.#options.channelEnded(reason);
    if (this.#saidFarewell && !this.#closing) {
      this.#saidFarewell = false;
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

  /** Every stream there is, for whoever must tell the readers what has become of them. */
  takeStreams(): RemoteStream[] {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    return streams;
  }

  /** The keeper is to end as soon as it has no session. */
  retireKeeper(): void {
    this.#channel?.send('retire', 0);
  }

  /** Lets go of the keeper, which goes on without a daemon. */
  async detach(): Promise<void> {
    this.#closing = true;
    const channel = this.#channel;
    this.failed(new SystemCallError('the daemon is shutting down', 'ESHUTDOWN'));
    if (channel !== undefined) {
      this.#tellTaken();
      channel.finish('the daemon ends');
    }
    await Promise.resolve();
  }

  // ---- what the keeper says

  #take(message: Message): void {
    const { name, id, value } = message;
    switch (name) {
      case 'frames': {
        failpoint('channel.frames.before');
        const [firstSeq, lastSeq, isPromised] = value as [number, number, number?];
        this.#streams.get(id)?.framesCame(message.data, firstSeq, lastSeq, isPromised === 1, message.hold);
        return;
      }
      case 'shared':
        failpoint('channel.frames.before');
        this.#sharedCame(id, value as SentShared);
        return;
      case 'result':
        this.#result(id, value);
        return;
      case 'failure':
        this.#failure(id, value as SentFailure);
        return;
      case 'attached':
        this.#attached(id, value as { reader: number; process: string; role: ReaderRole });
        return;
      case 'event':
        this.tell(readEvent(value as SessionEvent));
        return;
      case 'counters':
        Object.assign(this.#options.counters, value);
        return;
      case 'log': {
        const { level, component, text } = value as SentLogLine;
        this.#options.log[level](component, text);
        return;
      }
      case 'askAgent':
        this.#answerAgent(id);
        return;
      case 'farewell':
        this.#saidFarewell = true;
        return;
      default:
        this.#takeForStream(message);
    }
  }

  #takeForStream({ name, id, value }: Message): void {
    const stream = this.#streams.get(id);
    switch (name) {
      case 'mark':
        stream?.markReached(value as number);
        return;
      case 'gap': {
        const [from, to] = value as [number, number];
        stream?.gapCame(from, to);
        return;
      }
      case 'behind':
        stream?.fellBehind(value as number);
        return;
      case 'promised':
        stream?.promisedBy(value as number);
        return;
      case 'replaced':
        stream?.replaced();
        return;
      case 'over':
        this.#forgetStream(id);
        stream?.over();
        return;
      case 'done':
        this.#forgetStream(id);
        stream?.completed();
        return;
      case 'askProgress':
        this.#channel?.send('progress', id, stream?.reader.progress() ?? 0);
        return;
      default:
        throw new ChannelError(`a keeper does not say "${name}"`);
    }
  }

  #answerAgent(question: number): void {
    const channel = this.#channel;
    const answer = (socket: string | undefined): void => channel?.send('agent', question, socket ?? null);
    const { shellAgent } = this.#options;
    if (shellAgent === undefined) {
      answer(undefined);
    } else {
      void shellAgent.socket().then(answer, () => answer(undefined));
    }
  }

  #attached(
    id: number,
    { reader: readerId, process, role }: { reader: number; process: string; role: ReaderRole },
  ): void {
    const known = this.#readers.get(readerId);
    if (known === undefined) {
      this.#channel?.send('leave', id);
      return;
    }
    known.uses++;
    const stream = new RemoteStream(id, process, role, known.reader, this);
    this.#streams.set(id, stream);
    known.reader.attached(stream);
  }

  #forgetStream(id: number): void {
    const stream = this.#streams.get(id);
    if (stream !== undefined) {
      this.book.reached(stream.processId, stream.lastSeq);
      this.#streams.delete(id);
      this.#taken.delete(stream);
      this.#unuse(stream.reader);
    }
  }

  /** Something has happened to a session. */
  tell(event: SessionEvent): void {
    this.book.happened(event);
    if (event.event === 'spawned') {
      this.#running++;
    } else if (event.event === 'exited') {
      this.#running--;
    }
    for (const listener of this.#listeners) {
      listener(event);
    }
  }

  // ---- what the readers do

  took(stream: RemoteStream, bytes: number, lastSeq: number): void {
    let taken = this.#taken.get(stream);
    if (taken === undefined) {
      if (!this.#streams.has(stream.id)) {
        return;
      }
      taken = { bytes: 0, lastSeq: 0 };
      this.#taken.set(stream, taken);
    }
    taken.bytes += bytes;
    taken.lastSeq = Math.max(taken.lastSeq, lastSeq);
    if (taken.bytes >= tellTakenBytes) {
      this.#taken.delete(stream);
      this.#channel?.send('taken', stream.id, [taken.bytes, taken.lastSeq]);
    } else {
      this.#takenTimer ??= setTimeout(() => this.#tellTaken(), tellTakenMs);
    }
  }

  #tellTaken(): void {
    clearTimeout(this.#takenTimer);
    this.#takenTimer = undefined;
    for (const [stream, { bytes, lastSeq }] of this.#taken) {
      this.#channel?.send('taken', stream.id, [bytes, lastSeq]);
    }
    this.#taken.clear();
  }

  stopLive(stream: RemoteStream): void {
    this.#channel?.send('stopLive', stream.id);
  }

  left(stream: RemoteStream): void {
    if (this.#streams.has(stream.id)) {
      this.#tellTaken();
      this.#channel?.send('leave', stream.id);
      this.#forgetStream(stream.id);
    }
  }

  // ---- calls

  spawn(request: SpawnRequest, reader: Reader): Promise<Opened> {
    return this.#ask({ method: 'spawn', reader: this.#idOf(reader), request: sentSpawn(request) }, reader);
  }

  input(
    id: string,
    bytes: Buffer,
    offset: bigint | undefined,
    gone?: AbortSignal,
    place?: InputPlace,
  ): Promise<InputResult> {
    const where = {
      offset: offset === undefined ? undefined : String(offset),
      ...(place === undefined ? {} : { place: place === 'exact' ? place : { aside: String(place.aside) } }),
    };
    const call: Call = { method: 'input', id, ...where };
    const result = this.#ask<InputResult>(call, undefined, bytes);
    if (gone !== undefined) {
      const abandon = (): void => this.#abandon(call);
      gone.addEventListener('abort', abandon, { once: true });
      const settled = (): void => gone.removeEventListener('abort', abandon);
      result.then(settled, settled);
    }
    return result;
  }

  /** Whoever asked has gone: the keeper need not hold the bytes any longer. */
  #abandon(call: Call): void {
    for (const [id, pending] of this.#calls) {
      if (pending.call === call) {
        this.#channel?.send('abandon', id);
      }
    }
  }

  closeInput(id: string, offset: bigint): Promise<InputResult> {
    return this.#ask({ method: 'closeInput', id, offset: String(offset) });
  }

  end(id: string, how: EndRequest, reader?: Reader): Promise<EndResult> {
    const readerId = reader === undefined ? undefined : this.#idOf(reader);
    return this.#ask({ method: 'end', id, how: sentEnd(how), reader: readerId }, reader);
  }

  attach(
    id: string,
    fromSeq: bigint,
    reader: Reader,
    role: ReaderRole,
    more?: 'activity',
  ): Promise<Opened | undefined> {
    const what = { id, fromSeq: String(fromSeq), reader: this.#idOf(reader), role };
    return this.#ask({ method: 'attach', ...what, ...(more === undefined ? {} : { more }) }, reader);
  }

  unobserve(id: string, reader: Reader): Promise<boolean> {
    return this.#ask({ method: 'unobserve', id, reader: this.#idOf(reader) }, reader);
  }

  sessions(): Promise<readonly SessionInfo[]> {
    return this.#ask({ method: 'sessions' });
  }

  watch(listener: SessionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  get runningCount(): number {
    return this.#running;
  }

  close(children: 'end' | 'keep'): Promise<ClosedEngine> {
    return this.#ask({ method: 'close', children });
  }

  /** What the caller gets. Its mark is made now: the place may be told in the very next message. */
  #valueOf(call: Call, sent: unknown): unknown {
    const { method } = call;
    if (method === 'sessions') {
      return readSessions(sent as readonly SessionInfo[]);
    }
    if (method !== 'spawn' && method !== 'attach' && method !== 'end') {
      return sent;
    }
    if (sent === null) {
      return undefined;
    }
    const { place, ...result } = sent as SentOpened | SentEndResult;
    if ('lastSeq' in result && call.method === 'attach') {
      this.book.reached(call.id, result.lastSeq);
    }
    // A receiver has a place for its reply in any case, were it none of a stream that has ended; an end may have none.
    return { ...result, mark: place === undefined && method === 'end' ? undefined : this.#mark(place) };
  }

  #mark(place: SentPlace | undefined): Mark {
    const stream = place === undefined ? undefined : this.#streams.get(place.stream);
    return place === undefined || stream === undefined ? new Mark(undefined) : stream.mark(place.mark);
  }

  #ask<R>(call: Call, reader?: Reader, data?: Buffer): Promise<R> {
    return new Promise((resolve, reject) => {
      const pending: PendingCall = {
        call,
        // The bytes are valid during this call only, and may have to wait.
        data: data === undefined || this.#ready ? data : Buffer.from(data),
        ...{ reader, resolve: resolve as PendingCall['resolve'], reject },
      };
      if (reader !== undefined) {
        this.#use(reader);
      }
      if (this.#closing) {
        this.#settle(pending, () => reject(new SystemCallError('the daemon is shutting down', 'ESHUTDOWN')));
      } else if (this.#ready) {
        this.#send(pending);
      } else {
        this.#waiting.push(pending);
        this.#want();
      }
    });
  }

  #want(): void {
    if (!this.#wanted) {
      this.#wanted = true;
      this.#options.wantsChannel();
    }
  }

  #send(asked: PendingCall): void {
    failpoint('channel.call.before');
    // The keeper is to know what was taken before the request, as an engine without a channel would.
    if (this.#taken.size > 0) {
      this.#tellTaken();
    }
    this.#lastCall = (this.#lastCall + 1) >>> 0;
    // The channel may keep the bytes longer than this call.
    const pending = asked.data === undefined ? asked : { ...asked, data: Buffer.from(asked.data) };
    this.#calls.set(this.#lastCall, pending);
    this.#channel?.send('call', this.#lastCall, pending.call, pending.data);
    failpoint('channel.call.after');
  }

  #result(id: number, value: unknown): void {
    failpoint('channel.result.before');
    const pending = this.#calls.get(id);
    if (pending === undefined) {
      return;
    }
    this.#calls.delete(id);
    if (pending.call.method === 'sessions') {
      // What is told after the list comes after it for whoever has asked.
      this.#channel?.holdUntilNextTurn();
    }
    const result = this.#valueOf(pending.call, value);
    this.#note(pending.call, result);
    this.#settle(pending, () => pending.resolve(result as never));
  }

  #note(call: Call, result: unknown): void {
    if (call.method === 'spawn' && !(result as Opened).existing) {
      this.book.spawned(readSpawn(call.request), result as Opened);
    } else if (call.method === 'input') {
      this.book.applied(call.id, (result as InputResult).applied);
    }
  }

  #failure(id: number, value: SentFailure): void {
    const pending = this.#calls.get(id);
    if (pending !== undefined) {
      this.#calls.delete(id);
      this.#settle(pending, () => pending.reject(readFailure(value)));
    }
  }

  #settle({ reader }: PendingCall, work: () => void): void {
    work();
    if (reader !== undefined) {
      this.#unuse(reader);
    }
  }

  // ---- readers by their numbers

  #idOf(reader: Reader): number {
    let id = this.#readerIds.get(reader);
    if (id === undefined) {
      this.#lastReader++;
      id = this.#lastReader;
      this.#readerIds.set(reader, id);
    }
    return id;
  }

  #use(reader: Reader): void {
    const id = this.#idOf(reader);
    const known = this.#readers.get(id) ?? { reader, uses: 0 };
    known.uses++;
    this.#readers.set(id, known);
  }

  #unuse(reader: Reader): void {
    const id = this.#idOf(reader);
    const known = this.#readers.get(id);
    if (known !== undefined) {
      known.uses--;
      if (known.uses === 0) {
        this.#readers.delete(id);
      }
    }
  }
}

/** What clients are told whose request cannot reach the keeper (spec durable.md §3). */
export function unreachable(reason: string): SystemCallError {
  return new SystemCallError(`session keeper unreachable: ${reason}`, 'EPIPE');
}
