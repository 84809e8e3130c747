/** One client: lines in, frames out (spec wire.md §2). What the lines mean is the dispatcher's business. */
import type { Socket } from 'node:net';
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import type { MemoryBudget } from '../../base/memory-budget.ts';
import type { Timings } from '../../base/timings.ts';
import { windowBytes } from '../../engine/local/replay-window.ts';
import type { Mark } from '../../engine/mark.ts';
import type { FrameStream, Reader } from '../../engine/session-engine.ts';
import { LineReader } from '../../wire/line-reader.ts';
import { AnswerRooms } from './answer-rooms.ts';
import { ConnectionReports } from './connection-reports.ts';
import type { Caller, Dispatcher } from './dispatcher.ts';
import { LineReading, type LongLines } from './long-lines.ts';
import type { AnswerRoom } from './methods/method.ts';
import { Newcomer, type Newcomers } from './newcomers.ts';
import { Outbox, type OutboxOptions } from './outbox.ts';
import { maxUnsentReplyBytes, WaitingRequests } from './waiting-requests.ts';

/**
 * While reattaches have promised replays of more than this, no further request is read. A few whole windows fit, so that a
 * client can stop a process while it still receives what the process has written.
 */
const maxPromisedBytes = 4 * windowBytes;
/** Events that a client has asked for and does not read; with more the connection is closed. */
const maxUnsentPushBytes = 4 * 1024 * 1024;

export interface ConnectionContext extends OutboxOptions {
  readonly budget: MemoryBudget;
  readonly newcomers: Newcomers;
  readonly longLines: LongLines;
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
  readonly #waiting: WaitingRequests;
  readonly #newcomer: Newcomer;
  readonly #reports: ConnectionReports;
  /** What the budget was told of received bytes and of lines that wait for their turn. */
  #countedBytes = 0;
  /** No more bytes are taken from the socket while a line is read in turns, so the line stays where it is. */
  readonly #reading: LineReading;
  readonly #rooms: AnswerRooms;
  #gone: AbortController | undefined;
  /** The client sends no more. */
  #inputEnded = false;
  #closing = false;
  #watch: Disposable | undefined;
  #halfCloseTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, context: ConnectionContext) {
    this.#socket = socket;
    this.#context = context;
    this.#reports = new ConnectionReports(context.log, context.counters);
    this.#outbox = new Outbox(socket, () => this.#goOn(), context);
    const unsentReplyBytes = (): number => this.#outbox.unsentReplyBytes;
    const { budget } = context;
    this.#rooms = new AnswerRooms({ budget, maxBytes: maxUnsentReplyBytes, unsentBytes: unsentReplyBytes });
    this.#waiting = new WaitingRequests({ budget, unsentReplyBytes, tellBusy: (what) => this.#reports.busy(what) });
    this.#newcomer = new Newcomer(context.newcomers);
    this.#reading = new LineReading(context.longLines, { isGone: () => this.#closing, onRead: () => this.#goOn() });
    this.#reports.opened();
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
    } else if (!this.#newcomer.isProven) {
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
    while (!this.#closing && this.#reading.bytes === 0) {
      const line = this.#waiting.nextDeferred();
      if (line === undefined) {
        break;
      }
      this.#reading.begin(line, this.#context.dispatcher.handle(line, this));
    }
    while (!this.#closing && !this.#isBusy()) {
      const line = this.#lines.next();
      if (line === undefined) {
        break;
      }
      this.#context.tap?.received(line);
      this.#reading.begin(line, this.#context.dispatcher.handle(line, this));
    }
  }

  /** Received bytes that wait, here or for their turn. */
  #countHeld(): void {
    const held = this.#closing ? 0 : this.#lines.heldBytes + this.#waiting.deferredBytes;
    if (held !== this.#countedBytes) {
      this.#context.budget.take(held - this.#countedBytes);
      this.#countedBytes = held;
    }
  }

  showedToken(): void {
    this.#newcomer.showedToken();
  }

  #checkNewcomer(): void {
    const held = this.#closing ? 0 : this.#lines.pendingBytes + this.#reading.bytes + this.#outbox.unsentReplyBytes;
    if (!this.#newcomer.mustGo(held) || this.#closing) {
      return;
    }
    this.#reports.newcomerRefused();
    this.destroy();
  }

  /** Something has left or was answered: there may be room for the next request. */
  #goOn(): void {
    this.#rooms.look();
    if (this.#socket.isPaused() || this.#inputEnded || this.#waiting.deferredBytes > 0) {
      this.#serve();
    }
  }

  deferBulk(line: Buffer): boolean {
    return this.#waiting.defer(line);
  }

  #isBusy(): boolean {
    return (
      this.#reading.bytes > 0 ||
      this.#waiting.isFull() ||
      this.#outbox.unsentReplyBytes > maxUnsentReplyBytes ||
      this.#outbox.promisedBytes > maxPromisedBytes
    );
  }

  #refuseOverlong(): void {
    if (this.#closing) {
      return;
    }
    this.#reports.lineTooLong();
    this.destroy();
  }

  admit(lineBytes: number): void {
    this.#waiting.admit(lineBytes);
  }

  callStarted(lineBytes: number, bulk: boolean): void {
    this.#waiting.callStarted(lineBytes, bulk);
  }

  callEnded(lineBytes: number, bulk: boolean): void {
    this.#waiting.callEnded(lineBytes, bulk);
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
      this.#reports.eventsUnread(maxUnsentPushBytes);
      this.#closeAfterWritten();
    } else {
      this.#outbox.push(frame);
    }
  }

  setWatch(watch: Disposable | undefined): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = watch;
    if (this.#closing) {
      watch?.[Symbol.dispose]();
    }
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
    this.#reports.fellBehind(stream.processId, seq);
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
    this.#reports.streamLost(stream.processId);
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
    this.#reports.closed();
    this.#lines.end();
    for (const stream of this.#outbox.streams) {
      stream.stopLive();
    }
    this.#halfCloseTimer = setTimeout(() => this.destroy(), this.#context.timings.halfCloseMs);
    this.#serve();
  }

  #closeWhenDone(): void {
    if (!this.#closing && this.#reading.bytes === 0 && this.#waiting.none && this.#outbox.empty) {
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
    this.#newcomer.leave();
    this.#gone?.abort();
    this.#rooms.close();
    this.#waiting.dropDeferred();
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
    this.#reports.closed();
    this.#context.onClose(this);
  }
}
