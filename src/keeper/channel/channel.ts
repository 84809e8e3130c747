/** One connection between a daemon and its keeper: messages out, messages in, and its end. */
import type { OnReadOpts, Socket } from 'node:net';
import type { Transport } from '../../../platform/transport.ts';
import { messageOf } from '../../base/error-texts.ts';
import { failpoint } from '../../base/failpoints.ts';
import { headerBytes, type Message, type MessageLimits, MessageReader } from './message-reader.ts';
import { type MessageName, messageTypes } from './messages.ts';

export interface ChannelHandler {
  onMessage(message: Message): void;
  /** Once; nothing comes after it. */
  onEnd(reason: string): void;
  /** Bytes have left. */
  onDrain?(): void;
  /** The end of a turn for which `wakeAtTurnEnd` was called. What is sent now leaves with what nobody waits for. */
  onTurnEnd?(): void;
}

const nothing = Buffer.alloc(0);

/** Nobody waits for these: they leave with the next message that somebody waits for, or at the end of the turn. */
const unhurried: ReadonlySet<MessageName> = new Set(['event', 'log']);

/** Fewer bytes are copied behind the head of their message. */
const mostCopiedBytes = 16 * 1024;

/** Where a socket reads to that is dialled for a channel: without the stream of Node.js, which takes memory for each read, in between. */
export class ChannelReads {
  readonly reader = new MessageReader();
  readonly onread: OnReadOpts = {
    buffer: () => this.reader.room(),
    callback: (length) => {
      this.reader.filled(length);
      this.onBytes();
      return true;
    },
  };
  /** Bytes have come. */
  onBytes: () => void = () => {};
}

export class Channel {
  readonly socket: Socket;
  readonly #reader: MessageReader;
  #handler: ChannelHandler | undefined;
  #endReason: string | undefined;
  readonly #sendNow: Transport['sendNow'];
  /** What was sent in this turn. */
  #queued: Buffer[] = [];
  #queuedBytes = 0;
  #whenSent: (() => void)[] = [];
  /** Somebody waits for a message among them. */
  #hurries = false;
  #callbackEndComes = false;
  #turnEndComes = false;
  #isBroken = false;
  #delivering = false;
  #held = false;

  /**
   * @param socket owned from here on; paused, or with nothing read from it yet
   * @param sendNow `undefined`: everything goes through the queue of the socket
   * @param reads which the socket was made with; `undefined`: it emits what it reads
   */
  constructor(socket: Socket, sendNow?: Transport['sendNow'], reads?: ChannelReads) {
    this.socket = socket;
    this.#sendNow = sendNow;
    this.#reader = reads?.reader ?? new MessageReader();
    if (reads === undefined) {
      socket.on('data', (bytes: Buffer) => {
        this.#reader.push(bytes);
        this.#bytesCame();
      });
    } else {
      reads.onBytes = () => this.#bytesCame();
      socket.resume();
    }
    socket.on('drain', () => this.#handler?.onDrain?.());
    socket.on('error', (error) => this.close(error.message));
    socket.on('end', () => this.close('the other side has closed it'));
    socket.on('close', () => this.close('it is closed'));
  }

  #bytesCame(): void {
    try {
      failpoint('channel.data.before');
    } catch (error) {
      this.close(messageOf(error));
      return;
    }
    this.#deliver();
  }

  /** Who is told from now on. What has come before is told at once. */
  handle(handler: ChannelHandler): void {
    this.#handler = handler;
    if (this.#endReason !== undefined) {
      handler.onEnd(this.#endReason);
    } else {
      this.#deliver();
    }
  }

  /** Of what comes from now on. */
  limit(limits: MessageLimits): void {
    this.#reader.limits = limits;
  }

  get isOpen(): boolean {
    return this.#endReason === undefined;
  }

  /** It was closed because of what the other side has said. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Bytes that the kernel has not taken. */
  get unsentBytes(): number {
    return this.#queuedBytes + this.socket.writableLength;
  }

  /**
   * Everything that is sent in one callback of the event loop leaves together, in the order of the calls.
   * @param sent runs when `data` may be changed: it has left, or was copied, or never will leave
   */
  send(name: MessageName, id: number, value?: unknown, data: Buffer = nothing, sent?: () => void): void {
    if (this.#endReason !== undefined) {
      sent?.();
      return;
    }
    const text = value === undefined ? '' : JSON.stringify(value);
    const textBytes = Buffer.byteLength(text);
    const isCopied = data.length <= mostCopiedBytes;
    const head = Buffer.allocUnsafe(headerBytes + textBytes + (isCopied ? data.length : 0));
    head.writeUInt32LE(messageTypes[name], 0);
    head.writeUInt32LE(id, 4);
    head.writeUInt32LE(textBytes, 8);
    head.writeUInt32LE(data.length, 12);
    head.write(text, headerBytes);
    if (isCopied) {
      data.copy(head, headerBytes + textBytes);
      this.#queue(head);
      sent?.();
    } else {
      this.#queue(head);
      this.#queue(data);
      if (sent !== undefined) {
        this.#whenSent.push(sent);
      }
    }
    this.#hurries ||= !unhurried.has(name);
    if (!this.#callbackEndComes) {
      this.#callbackEndComes = true;
      process.nextTick(this.#endCallback);
    }
  }

  #queue(bytes: Buffer): void {
    this.#queued.push(bytes);
    this.#queuedBytes += bytes.length;
  }

  readonly #endCallback = (): void => {
    this.#callbackEndComes = false;
    if (this.#hurries) {
      this.#flush();
    } else if (this.#queued.length > 0) {
      this.wakeAtTurnEnd();
    }
  };

  /** The handler's `onTurnEnd` is called at the end of this turn of the event loop. */
  wakeAtTurnEnd(): void {
    if (!this.#turnEndComes) {
      this.#turnEndComes = true;
      setImmediate(this.#endTurn);
    }
  }

  readonly #endTurn = (): void => {
    this.#turnEndComes = false;
    if (this.#endReason === undefined) {
      this.#handler?.onTurnEnd?.();
      this.#flush();
    }
  };

  readonly #flush = (): void => {
    const queued = this.#queued;
    const whenSent = this.#whenSent;
    this.#hurries = false;
    if (queued.length === 0) {
      return;
    }
    this.#queued = [];
    this.#queuedBytes = 0;
    this.#whenSent = [];
    const left = this.socket.writableLength === 0 ? this.#sendAtOnce(queued) : queued;
    const done = (): void => {
      for (const sent of whenSent) {
        sent();
      }
    };
    const last = left.pop();
    if (last === undefined) {
      done();
    } else {
      this.socket.cork();
      for (const bytes of left) {
        this.socket.write(bytes);
      }
      this.socket.write(last, done);
      this.socket.uncork();
    }
    failpoint('channel.sent.after');
  };

  /** What the kernel takes at once does not go through the queue of the socket, which is several times dearer. @returns the rest */
  #sendAtOnce(queued: readonly Buffer[]): Buffer[] {
    const [first] = queued;
    if (this.#sendNow === undefined || first === undefined || queued.some(({ length }) => length > mostCopiedBytes)) {
      return [...queued];
    }
    const all = queued.length === 1 ? first : Buffer.concat(queued);
    const taken = this.#sendNow(this.socket, all);
    return taken === all.length ? [] : [all.subarray(taken)];
  }

  /** No message is told until the turn after this one: whoever waits for the last one runs first. */
  holdUntilNextTurn(): void {
    this.#held = true;
    setImmediate(() => {
      this.#held = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    // A handler may make the channel deliver again, and messages must stay in order.
    if (this.#delivering) {
      return;
    }
    this.#delivering = true;
    try {
      while (this.#handler !== undefined && !this.#held && this.#endReason === undefined) {
        const message = this.#reader.next();
        if (message === undefined) {
          break;
        }
        this.#handler.onMessage(message);
      }
    } catch (error) {
      // Whatever cannot be understood or dealt with: both sides know how to begin anew (spec durable.md §3).
      this.#isBroken = true;
      this.close(messageOf(error));
    } finally {
      this.#delivering = false;
    }
  }

  /** Drops it at once. */
  close(reason: string): void {
    if (this.#endReason !== undefined) {
      return;
    }
    this.#endReason = reason;
    this.socket.destroy();
    this.#dropQueued();
    this.#handler?.onEnd(reason);
  }

  /** Sends what was given to `send`, then closes. */
  finish(reason: string): void {
    if (this.#endReason !== undefined) {
      return;
    }
    this.#flush();
    this.#endReason = reason;
    this.socket.end(() => this.socket.destroy());
    this.#handler?.onEnd(reason);
  }

  #dropQueued(): void {
    const whenSent = this.#whenSent;
    this.#queued = [];
    this.#queuedBytes = 0;
    this.#whenSent = [];
    for (const sent of whenSent) {
      sent();
    }
  }
}
