/** One client: lines in, frames out (spec wire.md §2). What the lines mean is the dispatcher's business. */
import type { Socket } from 'node:net';
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import type { MemoryBudget } from '../../base/memory-budget.ts';
import type { Timings } from '../../base/timings.ts';
import { windowBytes } from '../../engine/local/replay-window.ts';
import type { Mark } from '../../engine/mark.ts';
import type { FrameStream, Reader } from '../../engine/session-engine.ts';
import { LineReader, maxLineBytes } from '../../wire/line-reader.ts';
import { AnswerRooms } from './answer-rooms.ts';
import type { Caller, Dispatcher } from './dispatcher.ts';
import type { AnswerRoom } from './methods/method.ts';
import { freeNewcomerBytes, maxNewcomersBytes, type Newcomers } from './newcomers.ts';
import { Outbox, type OutboxOptions } from './outbox.ts';

/** While more replies than this are unsent, no further request is read. */
const maxUnsentReplyBytes = 1024 * 1024;
/**
 * The same for replays that reattaches have promised. A few whole windows fit, so that a client can stop a process while
 * it still receives what the process has written.
 */
const maxPromisedBytes = 4 * windowBytes;
/** Requests being answered at once; the next one is read when one of them is done. */
const maxConcurrentCalls = 4096;
/**
 * Calls with answers of any size (files.read, files.list) at once; more wait for their turn while other requests are served. Without
 * this bound a burst of them fills the memory with answers before the first one has left.
 */
const maxBulkCalls = 16;
/** Events that a client has asked for and does not read; with more the connection is closed. */
const maxUnsentPushBytes = 4 * 1024 * 1024;
/** Lines of such calls kept for their turn; beyond, reading stops. */
const maxDeferredBytes = 1024 * 1024;
/** Lines of requests that may wait for their answers whatever others hold; beyond, the memory budget is asked. */
const freeWaitingBytes = 1024 * 1024;

export interface ConnectionContext extends OutboxOptions {
  readonly budget: MemoryBudget;
  readonly newcomers: Newcomers;
  readonly dispatcher: Dispatcher;
  readonly log: Log;
  readonly counters: Counters;
  readonly timings: Timings;
  /** A client has asked something: floods give way to it for a moment. */
  requestCame(): void;
  /** Profile row `process.reattachClosesOld`. */
  readonly reattachClosesOld: boolean;
  /** The socket is closed and everything of it let go. */
  onClose(connection: Connection): void;
}

export class Connection implements Caller, Reader {
  readonly #socket: Socket;
  readonly #context: ConnectionContext;
  readonly #lines = new LineReader();
  readonly #outbox: Outbox;
  #calls = 0;
  #bulkCalls = 0;
  /** Requests that wait for their turn, oldest first. */
  #deferred: Buffer[] = [];
  #deferredBytes = 0;
  /** Lines of requests that wait for their answers. */
  #waitingBytes = 0;
  /** What the budget was told of received bytes and of lines that wait for their turn. */
  #countedBytes = 0;
  /** The client has shown the token. */
  #proven = false;
  /** What the other newcomers were told of received bytes and of replies. */
  #newcomerBytes = 0;
  readonly #rooms: AnswerRooms;
  #gone: AbortController | undefined;
  #toldBusy = false;
  /** The client sends no more. */
  #inputEnded = false;
  #closing = false;
  #loggedClose = false;
  #watch: Disposable | undefined;
  #halfCloseTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, context: ConnectionContext) {
    this.#socket = socket;
    this.#context = context;
    this.#outbox = new Outbox(socket, () => this.#goOn(), context);
    this.#rooms = new AnswerRooms({
      budget: context.budget,
      maxBytes: maxUnsentReplyBytes,
      unsentBytes: () => this.#outbox.unsentReplyBytes,
    });
    context.log.info('Server', 'New connection from: @');
    socket.on('data', (chunk) => {
      if (this.#closing) {
        return;
      }
      context.requestCame();
      this.#lines.push(chunk as Buffer);
      this.#serve();
    });
    socket.on('end', () => this.#endOfInput());
    // A failed write or a reset: 'close' follows and does the rest.
    socket.on('error', () => {});
    socket.on('close', () => this.#closed());
  }

  /** A number that changes when bytes move in either direction; the idle check compares two readings. */
  get bytesMoved(): number {
    return this.#socket.bytesRead + this.progress();
  }

  // ---- requests

  #serve(): void {
    this.#outbox.collect();
    try {
      this.#handleLines();
    } finally {
      this.#outbox.flush();
      this.#countHeld();
    }
    if (this.#lines.overlong) {
      this.#refuseOverlong();
    } else if (!this.#proven) {
      this.#checkNewcomer();
    }
    if (this.#inputEnded) {
      this.#closeWhenDone();
    } else if (this.#isBusy()) {
      this.#socket.pause();
    } else if (this.#socket.isPaused()) {
      this.#socket.resume();
    }
  }

  #handleLines(): void {
    while (!this.#closing && this.#deferred.length > 0 && this.#hasRoomForBulk()) {
      const line = this.#deferred.shift();
      if (line === undefined) {
        break;
      }
      this.#deferredBytes -= line.length;
      this.#context.dispatcher.handle(line, this);
    }
    while (!this.#closing && !this.#isBusy()) {
      const line = this.#lines.next();
      if (line === undefined) {
        break;
      }
      this.#context.tap?.received(line);
      this.#context.dispatcher.handle(line, this);
    }
  }

  /** Received bytes that wait, here or for their turn. */
  #countHeld(): void {
    const held = this.#closing ? 0 : this.#lines.heldBytes + this.#deferredBytes;
    if (held !== this.#countedBytes) {
      this.#context.budget.take(held - this.#countedBytes);
      this.#countedBytes = held;
    }
  }

  showedToken(): void {
    if (!this.#proven) {
      this.#proven = true;
      this.#countNewcomer(0);
    }
  }

  #countNewcomer(bytes: number): void {
    this.#context.newcomers.take(bytes - this.#newcomerBytes);
    this.#newcomerBytes = bytes;
  }

  #checkNewcomer(): void {
    const held = this.#closing ? 0 : this.#lines.pendingBytes + this.#outbox.unsentReplyBytes;
    this.#countNewcomer(held);
    if (this.#closing || !this.#context.newcomers.refuses(held)) {
      return;
    }
    this.#context.counters.newcomersRefused++;
    this.#context.log.warn(
      'Server',
      `connections that have not shown the token hold ${maxNewcomersBytes} bytes, and this one more than ${freeNewcomerBytes}; ` +
        'closing connection: @; show the token in a shorter request first',
    );
    this.destroy();
  }

  /** Something has left or was answered: there may be room for the next request. */
  #goOn(): void {
    this.#rooms.look();
    if (this.#socket.isPaused() || this.#inputEnded || this.#deferred.length > 0) {
      this.#serve();
    }
  }

  #hasRoomForBulk(): boolean {
    return this.#bulkCalls < maxBulkCalls && this.#outbox.unsentReplyBytes <= maxUnsentReplyBytes;
  }

  /** Keeps a copy of the line for its turn. */
  deferBulk(line: Buffer): boolean {
    if (this.#hasRoomForBulk()) {
      return false;
    }
    this.#tellBusy(`${maxBulkCalls} file requests in progress or unsent; more wait for their turn`);
    this.#deferred.push(Buffer.from(line));
    this.#deferredBytes += line.length;
    return true;
  }

  #isBusy(): boolean {
    if (this.#calls >= maxConcurrentCalls) {
      this.#tellBusy(`${maxConcurrentCalls} requests in progress; reading goes on when some are answered`);
      return true;
    }
    return (
      this.#outbox.unsentReplyBytes > maxUnsentReplyBytes ||
      this.#outbox.promisedBytes > maxPromisedBytes ||
      this.#deferredBytes > maxDeferredBytes
    );
  }

  #tellBusy(what: string): void {
    if (this.#toldBusy) {
      return;
    }
    this.#toldBusy = true;
    this.#context.counters.busyConnections++;
    this.#context.log.warn('Server', `connection has ${what}`);
  }

  #refuseOverlong(): void {
    if (this.#closing) {
      return;
    }
    this.#context.counters.overlongLines++;
    this.#context.log.warn('Server', `line longer than ${maxLineBytes} bytes; closing connection: @`);
    this.destroy();
  }

  /** Few bytes may always wait, so that what runs can be asked and ended whatever others hold. */
  admit(lineBytes: number): void {
    if (this.#waitingBytes + lineBytes > freeWaitingBytes) {
      this.#context.budget.ensureRoom(lineBytes, 'a request that waits for its answer');
    }
  }

  callStarted(lineBytes: number, bulk: boolean): void {
    this.#calls++;
    this.#waitingBytes += lineBytes;
    this.#context.budget.take(lineBytes);
    if (bulk) {
      this.#bulkCalls++;
    }
  }

  callEnded(lineBytes: number, bulk: boolean): void {
    this.#calls--;
    this.#waitingBytes -= lineBytes;
    this.#context.budget.give(lineBytes);
    if (bulk) {
      this.#bulkCalls--;
    }
    this.#goOn();
  }

  reply(frame: string): void {
    this.#outbox.reply(frame);
  }

  replyInPieces(frame: readonly Buffer[]): void {
    this.#outbox.replyInPieces(frame);
  }

  answerRoom(bytes: number): Promise<AnswerRoom> {
    return this.#rooms.ask(bytes);
  }

  get gone(): AbortSignal {
    this.#gone ??= new AbortController();
    if (this.#closing) {
      this.#gone.abort();
    }
    return this.#gone.signal;
  }

  replyAt(mark: Mark, frame: string): void {
    this.#outbox.replyAt(mark, frame);
  }

  push(frame: string): void {
    if (this.#outbox.unsentPushBytes > maxUnsentPushBytes) {
      this.#context.counters.slowReadersDropped++;
      this.#context.log.warn(
        'Server',
        `connection has ${maxUnsentPushBytes} bytes of events unread; closing it: read them, or ask for none`,
      );
      this.#closeAfterWritten();
    } else {
      this.#outbox.push(frame);
    }
  }

  setWatch(watch: Disposable | undefined): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = watch;
  }

  // ---- streams

  get reader(): Reader {
    return this;
  }

  attached(stream: FrameStream): void {
    if (this.#closing) {
      stream.leave();
    } else {
      this.#outbox.add(stream);
      if (this.#inputEnded) {
        stream.stopLive();
      }
    }
  }

  ready(stream: FrameStream, more: boolean): void {
    this.#outbox.wake(stream, more);
  }

  unplaced(reply: string): void {
    this.#outbox.placed(reply);
  }

  /** A client that takes bytes lets some leave, or leaves fewer of them unread in the socket. */
  progress(): number {
    const { bytesWritten, writableLength } = this.#socket;
    // While the kernel takes everything at once there is no need to ask what the client has read of it.
    const unread = writableLength > 0 ? (this.#context.unreadBytes?.(this.#socket) ?? 0) : 0;
    return this.#outbox.bytesSentNow + bytesWritten - writableLength - unread;
  }

  fellBehind(stream: FrameStream, seq: number): void {
    this.#context.counters.slowReadersDropped++;
    this.#context.log.warn(
      'frameSink',
      `slow reader dropped: process ${stream.processId} evicted seq ${seq} before it was sent; reattach with fromSeq ${seq - 1}`,
    );
    // What the socket was given already is older than the evicted frame, so it is nowhere else any more.
    this.#closeAfterWritten();
  }

  replaced(stream: FrameStream): void {
    if (stream.done) {
      this.#outbox.remove(stream);
    }
    if (this.#context.reattachClosesOld) {
      this.close();
    }
  }

  lost(stream: FrameStream): void {
    this.#context.log.warn('frameSink', `connection closed: lost touch with process ${stream.processId}; reattach`);
    this.#closeAfterWritten();
  }

  over(stream: FrameStream): void {
    this.#outbox.remove(stream);
  }

  // ---- end

  #endOfInput(): void {
    if (this.#closing) {
      return;
    }
    this.#inputEnded = true;
    this.#logClose();
    this.#lines.end();
    for (const stream of this.#outbox.streams) {
      stream.stopLive();
    }
    this.#halfCloseTimer = setTimeout(() => this.destroy(), this.#context.timings.halfCloseMs);
    this.#serve();
  }

  #closeWhenDone(): void {
    const served = this.#calls === 0 && this.#deferred.length === 0;
    if (!this.#closing && served && this.#outbox.empty) {
      this.close();
    }
  }

  /** Sends what is queued, then closes. A client that does not read is not waited for. */
  close(): void {
    if (this.#closing) {
      return;
    }
    this.#outbox.flush();
    this.#closeAfterWritten();
  }

  /** Sends nothing more but what the socket has been given. */
  #closeAfterWritten(): void {
    this.#leave();
    this.#socket.destroySoon();
    this.#halfCloseTimer ??= setTimeout(() => this.#socket.destroy(), this.#context.timings.halfCloseMs);
    this.#halfCloseTimer.unref();
  }

  /** Closes without sending anything more. */
  destroy(): void {
    this.#leave();
    this.#socket.destroy();
  }

  #leave(): void {
    this.#closing = true;
    this.#countNewcomer(0);
    this.#gone?.abort();
    this.#rooms.close();
    this.#deferred = [];
    this.#deferredBytes = 0;
    this.#countHeld();
    this.setWatch(undefined);
    const streams = [...this.#outbox.streams];
    this.#outbox.close();
    for (const stream of streams) {
      stream.leave();
    }
  }

  #closed(): void {
    clearTimeout(this.#halfCloseTimer);
    this.#leave();
    this.#logClose();
    this.#context.onClose(this);
  }

  #logClose(): void {
    if (this.#loggedClose) {
      return;
    }
    this.#loggedClose = true;
    this.#context.log.info('Server', 'Connection closed: @');
  }
}
