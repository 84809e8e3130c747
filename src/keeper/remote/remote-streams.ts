/** The streams of output that the keeper sends, one for each reader of a process, by their numbers on the channel. */
import { failpoint } from '../../base/failpoints.ts';
import type { ReaderRole } from '../../engine/session-engine.ts';
import { ChannelError, type Message } from '../channel/message-reader.ts';
import type { MessageName } from '../channel/messages.ts';
import type { ReaderNumbers } from './reader-numbers.ts';
import { RemoteStream, type RemoteStreamOwner } from './remote-stream.ts';
import type { SessionBook } from './session-book.ts';
import { TakenOutput } from './taken-output.ts';

/** Sends to the keeper. Without a channel nothing happens: the streams of an ended channel have no keeper any more. */
export type Send = (name: MessageName, stream: number, value?: unknown) => void;

export class RemoteStreams implements RemoteStreamOwner {
  readonly #readers: ReaderNumbers;
  readonly #book: SessionBook;
  readonly #send: Send;
  readonly #byId = new Map<number, RemoteStream>();
  readonly #taken = new TakenOutput((stream, bytes, lastSeq) => {
    failpoint('channel.taken.before');
    this.#send('taken', stream.id, [bytes, lastSeq]);
  });

  constructor(readers: ReaderNumbers, book: SessionBook, send: Send) {
    this.#readers = readers;
    this.#book = book;
    this.#send = send;
  }

  get(id: number): RemoteStream | undefined {
    return this.#byId.get(id);
  }

  /** Every stream there is, for whoever must tell the readers what has become of them. */
  takeAll(): RemoteStream[] {
    const streams = [...this.#byId.values()];
    this.#byId.clear();
    return streams;
  }

  // ---- what the keeper says

  /** @throws ChannelError when a keeper does not say such a thing */
  told({ name, id, value }: Message): void {
    const stream = this.#byId.get(id);
    switch (name) {
      case 'attached':
        this.#attached(id, value as { reader: number; process: string; role: ReaderRole });
        return;
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
        this.#forget(id);
        stream?.over();
        return;
      case 'done':
        this.#forget(id);
        stream?.completed();
        return;
      case 'askProgress':
        this.#send('progress', id, stream?.reader.progress() ?? 0);
        return;
      default:
        throw new ChannelError(`a keeper does not say "${name}"`);
    }
  }

  #attached(
    id: number,
    { reader: readerId, process, role }: { reader: number; process: string; role: ReaderRole },
  ): void {
    const reader = this.#readers.reader(readerId);
    if (reader === undefined) {
      this.#send('leave', id);
      return;
    }
    this.#readers.use(reader);
    const stream = new RemoteStream(id, process, role, reader, this);
    this.#byId.set(id, stream);
    reader.attached(stream);
  }

  #forget(id: number): void {
    const stream = this.#byId.get(id);
    if (stream !== undefined) {
      this.#book.reached(stream.processId, stream.lastSeq);
      this.#byId.delete(id);
      this.#taken.forget(stream);
      this.#readers.unuse(stream.reader);
    }
  }

  /** The channel has ended: there is nobody to tell what was taken. */
  channelEnded(): void {
    this.#taken.forgetAll();
  }

  // ---- what the readers do

  took(stream: RemoteStream, bytes: number, lastSeq: number): void {
    if (this.#byId.has(stream.id)) {
      this.#taken.add(stream, bytes, lastSeq);
    }
  }

  /** Tells the keeper everything that was taken so far. */
  tellTaken(): void {
    this.#taken.tellAll();
  }

  stopLive(stream: RemoteStream): void {
    this.#send('stopLive', stream.id);
  }

  left(stream: RemoteStream): void {
    if (this.#byId.has(stream.id)) {
      this.#taken.tellAll();
      this.#send('leave', stream.id);
      this.#forget(stream.id);
    }
  }
}
