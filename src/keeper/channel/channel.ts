/** One connection between a daemon and its keeper: messages out, messages in, and its end. */
import type { Socket } from 'node:net';
import { messageOf } from '../../base/error-texts.ts';
import { failpoint } from '../../base/failpoints.ts';
import { ChannelError, headerBytes, type Message, MessageReader } from './message-reader.ts';
import { type MessageName, messageTypes } from './messages.ts';

export interface ChannelHandler {
  onMessage(message: Message): void;
  /** Once; nothing comes after it. */
  onEnd(reason: string): void;
  /** Bytes have left. */
  onDrain?(): void;
}

const nothing = Buffer.alloc(0);

export class Channel {
  readonly socket: Socket;
  readonly #reader = new MessageReader();
  #handler: ChannelHandler | undefined;
  #endReason: string | undefined;
  #corked = false;
  #delivering = false;
  #held = false;

  /** @param socket owned from here on; paused, or with nothing read from it yet */
  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      try {
        failpoint('channel.data.before');
      } catch (error) {
        this.close(messageOf(error));
        return;
      }
      this.#reader.push(bytes);
      this.#deliver();
    });
    socket.on('drain', () => this.#handler?.onDrain?.());
    socket.on('error', (error) => this.close(error.message));
    socket.on('end', () => this.close('the other side has closed it'));
    socket.on('close', () => this.close('it is closed'));
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

  get isOpen(): boolean {
    return this.#endReason === undefined;
  }

  /** Bytes that the kernel has not taken. */
  get unsentBytes(): number {
    return this.socket.writableLength;
  }

  /**
   * Everything that is sent in one turn leaves in one write.
   * @param sent runs when the kernel has `data`, or never will
   */
  send(name: MessageName, id: number, value?: unknown, data: Buffer = nothing, sent?: () => void): void {
    if (this.#endReason !== undefined) {
      sent?.();
      return;
    }
    if (!this.#corked) {
      this.#corked = true;
      this.socket.cork();
      process.nextTick(this.#uncork);
    }
    const text = value === undefined ? '' : JSON.stringify(value);
    const textBytes = Buffer.byteLength(text);
    const head = Buffer.allocUnsafe(headerBytes + textBytes);
    head.writeUInt32LE(messageTypes[name], 0);
    head.writeUInt32LE(id, 4);
    head.writeUInt32LE(textBytes, 8);
    head.writeUInt32LE(data.length, 12);
    head.write(text, headerBytes);
    this.socket.write(head);
    if (data.length > 0) {
      this.socket.write(data, sent);
    } else {
      sent?.();
    }
  }

  readonly #uncork = (): void => {
    this.#corked = false;
    this.socket.uncork();
  };

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
      if (!(error instanceof ChannelError)) {
        throw error;
      }
      this.close(error.message);
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
    this.#handler?.onEnd(reason);
  }

  /** Sends what was given to `send`, then closes. */
  finish(reason: string): void {
    if (this.#endReason !== undefined) {
      return;
    }
    this.#endReason = reason;
    this.socket.end(() => this.socket.destroy());
    this.#handler?.onEnd(reason);
  }
}
