/**
 * The engine of a daemon whose sessions live in a keeper: every call goes over the channel, and what comes back is put in
 * order for the readers here. It has no state of a session that it could lose.
 */
import type { SharedMemory } from '../../../platform/shared-memory.ts';
import type { Counters } from '../../base/counters.ts';
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
import type { Message } from '../channel/message-reader.ts';
import {
  type Call,
  type FrontSettings,
  type KeeperState,
  readEvent,
  readSessions,
  readSpawn,
  type SentEndResult,
  type SentEvent,
  type SentFailure,
  type SentLogLine,
  type SentMemory,
  type SentOpened,
  type SentPlace,
  type SentShared,
  sentEnd,
  sentSpawn,
} from '../channel/values.ts';
import { type AskedSpawn, Calls } from './calls.ts';
import { KeeperMemory } from './keeper-memory.ts';
import { ReaderNumbers } from './reader-numbers.ts';
import { RemoteStreams } from './remote-streams.ts';
import { SessionBook } from './session-book.ts';

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

export class RemoteEngine implements SessionEngine {
  readonly #options: RemoteEngineOptions;
  #channel: Channel | undefined;
  /** The keeper knows our settings and has told its state. */
  #ready = false;
  readonly #readers = new ReaderNumbers();
  readonly #calls: Calls;
  readonly #memory: KeeperMemory;
  readonly #listeners = new Set<SessionListener>();
  /** The keeper ends by itself: it has done what it has answered and nothing else. */
  #saidFarewell = false;
  /** What would be told if the keeper died. */
  readonly book = new SessionBook();
  readonly streams = new RemoteStreams(this.#readers, this.book, (name, stream, value) => {
    this.#channel?.send(name, stream, value);
  });
  #running = 0;

  constructor(options: RemoteEngineOptions) {
    this.#options = options;
    this.#memory = new KeeperMemory(options);
    this.#calls = new Calls({
      readers: this.#readers,
      wantsChannel: () => options.wantsChannel(),
      // The keeper is to know what was taken before the request, as an engine without a channel would.
      beforeSend: () => this.streams.tellTaken(),
      read: (call, sent) => this.#read(call, sent),
    });
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
          this.#begin(channel, message.value as KeeperState);
          told.resolve(message.value as KeeperState);
        } else if (message.name === 'memory') {
          this.#memory.told(channel, keeper, message.value as SentMemory);
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

  #begin(channel: Channel, { sessions }: KeeperState): void {
    this.book.begin(sessions);
    this.#running = sessions.filter(({ state }) => state !== 'exited').length;
    this.#ready = true;
    this.#calls.begin(channel);
  }

  /** What the keeper was asked to start, and has not answered. */
  get askedSpawns(): readonly AskedSpawn[] {
    return this.#calls.askedSpawns;
  }

  /** There will be no channel for now: calls that wait are refused with `error`. */
  failed(error: Error): void {
    this.#calls.failed(error);
  }

  #ended(channel: Channel, reason: string): void {
    if (this.#channel !== channel) {
      return;
    }
    this.#channel = undefined;
    this.#ready = false;
    this.#calls.pause();
    this.#memory.channelEnded();
    this.streams.channelEnded();
    this.#options.channelEnded(reason);
    const again = this.#saidFarewell;
    this.#saidFarewell = false;
    this.#calls.ended(reason, again);
  }

  /** The keeper is to end as soon as it has no session. */
  retireKeeper(): void {
    this.#channel?.send('retire', 0);
  }

  /** Lets go of the keeper, which goes on without a daemon. */
  async detach(): Promise<void> {
    const channel = this.#channel;
    this.#calls.close();
    if (channel !== undefined) {
      this.streams.tellTaken();
      failpoint('durable.detach.before');
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
        this.streams.get(id)?.framesCame(message.data, firstSeq, lastSeq, isPromised === 1, message.hold);
        return;
      }
      case 'shared':
        failpoint('channel.frames.before');
        this.#memory.framesCame(this.#channel, this.streams.get(id), value as SentShared);
        return;
      case 'result':
        this.#calls.result(id, value);
        return;
      case 'failure':
        this.#calls.failure(id, value as SentFailure);
        return;
      case 'event': {
        const event = readEvent(value as SentEvent);
        if (event !== undefined) {
          this.tell(event);
        }
        return;
      }
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
        failpoint('channel.farewell.before');
        this.#saidFarewell = true;
        return;
      default:
        this.streams.told(message);
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

  // ---- calls

  spawn(request: SpawnRequest, reader: Reader): Promise<Opened> {
    return this.#calls.ask({ method: 'spawn', reader: this.#readers.of(reader), request: sentSpawn(request) }, reader);
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
    const result = this.#calls.ask<InputResult>(call, undefined, bytes);
    if (gone !== undefined) {
      // The keeper need not hold the bytes any longer.
      const abandon = (): void => this.#calls.abandon(call);
      gone.addEventListener('abort', abandon, { once: true });
      const settled = (): void => gone.removeEventListener('abort', abandon);
      result.then(settled, settled);
    }
    return result;
  }

  closeInput(id: string, offset: bigint): Promise<InputResult> {
    return this.#calls.ask({ method: 'closeInput', id, offset: String(offset) });
  }

  end(id: string, how: EndRequest, reader?: Reader): Promise<EndResult> {
    const readerId = reader === undefined ? undefined : this.#readers.of(reader);
    return this.#calls.ask({ method: 'end', id, how: sentEnd(how), reader: readerId }, reader);
  }

  attach(
    id: string,
    fromSeq: bigint,
    reader: Reader,
    role: ReaderRole,
    more?: 'activity',
  ): Promise<Opened | undefined> {
    const what = { id, fromSeq: String(fromSeq), reader: this.#readers.of(reader), role };
    return this.#calls.ask({ method: 'attach', ...what, ...(more === undefined ? {} : { more }) }, reader);
  }

  unobserve(id: string, reader: Reader): Promise<boolean> {
    return this.#calls.ask({ method: 'unobserve', id, reader: this.#readers.of(reader) }, reader);
  }

  sessions(): Promise<readonly SessionInfo[]> {
    return this.#calls.ask({ method: 'sessions' });
  }

  watch(listener: SessionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  get runningCount(): number {
    return this.#running;
  }

  close(children: 'end' | 'keep'): Promise<ClosedEngine> {
    return this.#calls.ask({ method: 'close', children });
  }

  /** What the caller gets, and what the book learns from it. */
  #read(call: Call, sent: unknown): unknown {
    const result = this.#valueOf(call, sent);
    if (call.method === 'spawn' && !(result as Opened).existing) {
      this.book.spawned(readSpawn(call.request), result as Opened);
    } else if (call.method === 'input') {
      this.book.applied(call.id, (result as InputResult).applied);
    }
    return result;
  }

  /** Its mark is made now: the place may be told in the very next message. */
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
    const stream = place === undefined ? undefined : this.streams.get(place.stream);
    return place === undefined || stream === undefined ? new Mark(undefined) : stream.mark(place.mark);
  }
}
