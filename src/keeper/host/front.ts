/**
 * The daemon in front of a keeper: its requests become calls of the engine, and what the engine has for its readers goes to
 * it. When the channel ends every reader leaves, as if all clients had closed their connections.
 */

import type { ProcessIdentity } from '../../../platform/processes.ts';
import { failpoint } from '../../base/failpoints.ts';
import type { Mark } from '../../engine/mark.ts';
import type { EndResult, MaybePromise, Opened, SessionEngine } from '../../engine/session-engine.ts';
import type { Channel } from '../channel/channel.ts';
import { ChannelError, type Message } from '../channel/message-reader.ts';
import { farewellVersion, sharedMemoryVersion } from '../channel/messages.ts';
import {
  type Call,
  type FrontSettings,
  readEnd,
  readSettings,
  readSpawn,
  type SentMemory,
  type SentPlace,
  type SentResult,
  sentFailure,
} from '../channel/values.ts';
import { HostedReader, type HostedStream, type ReaderHost } from './hosted-reader.ts';
import { LentFrames } from './lent-frames.ts';

export interface FrontOwner {
  readonly engine: SessionEngine;
  /** Memory in which frames lie; `undefined`: there is none (yet). */
  readonly memory: SentMemory | undefined;
  /** The daemon has let go of all frames that it was lent before it connected again. */
  settled(front: Front): void;
  settings(settings: FrontSettings): void;
  shellPathKnown(path: string | undefined): void;
  agentKnown(question: number, socket: string | undefined): void;
  /** The numbers of the engine, for the daemon to show. */
  counters(): object;
  /** The front is not busy any more. */
  idle(): void;
  /** The daemon wants the keeper to end as soon as it has no session. */
  retire(): void;
  ended(front: Front, reason: string): void;
}

export class Front implements ReaderHost {
  readonly channel: Channel;
  /** Who it is; `undefined`: the system does not tell. */
  readonly daemon: ProcessIdentity | undefined;
  pieceBytes = 64 * 1024;
  /** What the daemon was shown in shared memory. */
  readonly lentFrames = new LentFrames();
  readonly #speak: number;
  #hasMapped = false;
  readonly #owner: FrontOwner;
  readonly #readers = new Map<number, HostedReader>();
  readonly #streams = new Map<number, HostedStream>();
  /** Calls that wait and are let go with whoever asked. */
  readonly #abandonable = new Map<number, AbortController>();
  /** Streams with something to take, in the order of their turn. */
  readonly #ready = new Set<HostedStream>();
  /** Calls that are not answered. */
  #unanswered = 0;
  #lastStream = 0;
  #lastMark = 0;
  #pumping = false;
  #pumpComes = false;

  /** @param speak version of the channel */
  constructor(channel: Channel, speak: number, daemon: ProcessIdentity | undefined, owner: FrontOwner) {
    this.channel = channel;
    this.daemon = daemon;
    this.#speak = speak;
    this.#owner = owner;
  }

  get lent(): LentFrames | undefined {
    return this.#hasMapped ? this.lentFrames : undefined;
  }

  /** The daemon may read frames where they lie. One that nobody can tell from another is not told: see lent-frames.ts. */
  tellMemory(): void {
    const { memory } = this.#owner;
    if (memory !== undefined && this.#speak >= sharedMemoryVersion && this.daemon !== undefined) {
      failpoint('keeper.memory.before');
      this.channel.send('memory', 0, memory);
    }
  }

  begin(): void {
    this.channel.handle({
      onMessage: (message) => this.#take(message),
      onDrain: () => this.#pump(),
      onTurnEnd: () => this.#pump(),
      onEnd: (reason) => this.#ended(reason),
    });
  }

  /** Whether a call waits for its answer, or frames are still to be sent. */
  get isBusy(): boolean {
    return this.#unanswered > 0 || this.#streams.size > 0;
  }

  /** The keeper ends: what the daemon has asked and is not answered never took effect, and is for the next keeper. */
  farewell(): void {
    if (this.#speak >= farewellVersion) {
      this.channel.send('farewell', 0);
    }
    this.channel.finish('the keeper ends');
  }

  #ended(reason: string): void {
    for (const reader of [...this.#readers.values()]) {
      reader.leave();
    }
    this.#readers.clear();
    for (const gone of this.#abandonable.values()) {
      gone.abort();
    }
    this.#owner.ended(this, reason);
  }

  #take({ name, id, value, data }: Message): void {
    switch (name) {
      case 'call':
        this.#call(id, value as Call, data);
        return;
      case 'taken': {
        const [bytes, lastSeq] = value as [number, number];
        this.#streams.get(id)?.taken(bytes, lastSeq);
        return;
      }
      case 'stopLive':
        this.#streams.get(id)?.stopLive();
        return;
      case 'leave':
        this.#streams.get(id)?.leave();
        return;
      case 'progress':
        this.#streams.get(id)?.reader.progressTold(value as number);
        return;
      case 'settings':
        this.#settings(readSettings(value));
        return;
      case 'shellPath':
        this.#owner.shellPathKnown((value as string | null) ?? undefined);
        return;
      case 'agent':
        this.#owner.agentKnown(id, (value as string | null) ?? undefined);
        return;
      case 'abandon':
        this.#abandonable.get(id)?.abort();
        return;
      case 'retire':
        this.#owner.retire();
        return;
      case 'mapped':
        failpoint('keeper.mapped.before');
        this.#hasMapped = this.#owner.memory !== undefined;
        return;
      case 'freed':
        failpoint('keeper.freed.before');
        for (const number of value as number[]) {
          this.lentFrames.freed(number);
        }
        return;
      case 'settled':
        failpoint('keeper.settled.before');
        this.#owner.settled(this);
        return;
      default:
        throw new ChannelError(`a daemon does not say "${name}"`);
    }
  }

  #settings(settings: FrontSettings): void {
    this.pieceBytes = settings.pieceBytes;
    this.#owner.settings(settings);
  }

  // ---- calls

  #call(id: number, call: Call, data: Buffer): void {
    failpoint('keeper.call.before');
    const reader = 'reader' in call && call.reader !== undefined ? this.#reader(call.reader) : undefined;
    if (reader !== undefined) {
      reader.calls++;
    }
    // Only of these it matters that whoever asked has gone.
    const gone = call.method === 'input' ? new AbortController() : undefined;
    this.#unanswered++;
    const settled = (): void => {
      this.#abandonable.delete(id);
      this.#unanswered--;
      this.#lookIfIdle();
      if (reader !== undefined) {
        reader.calls--;
        this.#dropUnused(reader);
      }
    };
    const answer = (result: SentResult): void => {
      failpoint('keeper.result.before');
      if (call.method === 'sessions') {
        this.channel.send('counters', 0, this.#owner.counters());
      }
      this.channel.send('result', id, result);
      settled();
    };
    const fail = (error: unknown): void => {
      this.channel.send('failure', id, sentFailure(error));
      settled();
    };
    try {
      const result = this.#run(call, data, reader, gone?.signal);
      if (result instanceof Promise) {
        if (gone !== undefined) {
          this.#abandonable.set(id, gone);
        }
        result.then((known) => this.#answered(known, answer), fail);
      } else {
        this.#answered(result, answer);
      }
    } catch (error) {
      fail(error);
    }
  }

  #run(
    call: Call,
    data: Buffer,
    reader: HostedReader | undefined,
    gone: AbortSignal | undefined,
  ): MaybePromise<Opened | EndResult | undefined | Exclude<SentResult, null>> {
    const { engine } = this.#owner;
    switch (call.method) {
      case 'input':
        // The engine keeps the bytes until the child takes them, and `data` is valid during the call only.
        return engine.input(
          call.id,
          Buffer.from(data),
          call.offset === undefined ? undefined : BigInt(call.offset),
          gone,
          typeof call.place === 'object' ? { aside: BigInt(call.place.aside) } : call.place,
        );
      case 'closeInput':
        return engine.closeInput(call.id, BigInt(call.offset));
      case 'sessions':
        return engine.sessions();
      case 'close':
        return engine.close(call.children);
      case 'end':
        return engine.end(call.id, readEnd(call.how), reader);
      default:
    }
    if (reader === undefined) {
      throw new Error(`the call "${call.method}" names no reader`);
    }
    if (call.method === 'spawn') {
      return engine.spawn(readSpawn(call.request), reader);
    }
    return call.method === 'attach'
      ? engine.attach(call.id, BigInt(call.fromSeq), reader, call.role, call.more)
      : engine.unobserve(call.id, reader);
  }

  /** The result goes first, then the mark in its place among the frames. */
  #answered(
    result: Opened | EndResult | undefined | Exclude<SentResult, null>,
    answer: (result: SentResult) => void,
  ): void {
    if (result === undefined || typeof result !== 'object' || !('mark' in result)) {
      answer((result as SentResult | undefined) ?? null);
      return;
    }
    const { mark } = result;
    const stream = this.#streamOf(mark);
    const place: SentPlace | undefined =
      stream === undefined ? undefined : { mark: ++this.#lastMark, stream: stream.id };
    stream?.tellPromised();
    answer(withPlace(result, place));
    if (place === undefined || mark === undefined) {
      mark?.fill('');
    } else if (!mark.fill(String(place.mark))) {
      this.channel.send('mark', place.stream, place.mark);
    }
  }

  #streamOf(mark: Mark | undefined): HostedStream | undefined {
    const feed = mark?.stream;
    if (feed === undefined) {
      return undefined;
    }
    for (const { streams } of this.#readers.values()) {
      const found = streams.get(feed);
      if (found !== undefined) {
        return found;
      }
    }
    return undefined;
  }

  // ---- readers and their streams

  #reader(id: number): HostedReader {
    let reader = this.#readers.get(id);
    if (reader === undefined) {
      reader = new HostedReader(id, this);
      this.#readers.set(id, reader);
    }
    return reader;
  }

  #dropUnused(reader: HostedReader): void {
    if (reader.calls === 0 && reader.streams.size === 0) {
      this.#readers.delete(reader.id);
    }
  }

  nextStreamId(): number {
    this.#lastStream++;
    return this.#lastStream;
  }

  added(stream: HostedStream): void {
    this.#streams.set(stream.id, stream);
    // A spawn may be answered when its daemon is gone already.
    if (!this.channel.isOpen) {
      setImmediate(() => stream.leave());
    }
  }

  removed(stream: HostedStream): void {
    this.#streams.delete(stream.id);
    this.#ready.delete(stream);
    this.#dropUnused(stream.reader);
    this.#lookIfIdle();
  }

  #lookIfIdle(): void {
    if (!this.isBusy) {
      this.#owner.idle();
    }
  }

  wake(stream: HostedStream, more: boolean): void {
    if (!this.#streams.has(stream.id)) {
      return;
    }
    this.#ready.add(stream);
    if (more) {
      // Full reads of one turn leave together.
      this.channel.wakeAtTurnEnd();
    } else if (!this.#pumpComes) {
      this.#pumpComes = true;
      // Behind whatever the engine does in this call, and before anything else happens.
      process.nextTick(() => {
        this.#pumpComes = false;
        this.#pump();
      });
    }
  }

  #pump(): void {
    if (this.#pumping) {
      return;
    }
    this.#pumping = true;
    try {
      for (const stream of this.#ready) {
        if (stream.pump()) {
          // The channel is full: this one has the first turn when it has drained.
          break;
        }
        this.#ready.delete(stream);
      }
    } finally {
      this.#pumping = false;
    }
  }
}

function withPlace(result: Opened | EndResult, place: SentPlace | undefined): SentResult {
  if ('existing' in result) {
    const { existing, running, firstSeq, lastSeq, stdinApplied, pid, startTime, activity } = result;
    return { existing, running, firstSeq, lastSeq, stdinApplied, pid, startTime, activity, place };
  }
  const { found, died, alreadyExited, escalated } = result;
  return { found, died, alreadyExited, escalated, place };
}
