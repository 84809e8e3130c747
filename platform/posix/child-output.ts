/** One output of a child: a pipe that is silent (silent-pipes.ts) until it has something to read, and a socket from then on. */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { outputReads } from '../common/read-buffer.ts';
import type { OutputName, SpawnRequest } from '../processes.ts';
import { forgetSilent, type SilentPipe, watchSilent } from './silent-pipes.ts';

/** What an output tells of its bytes. */
export type OutputEvents = Pick<SpawnRequest, 'maxChunkBytes' | 'readBuffer' | 'onOutput'>;

export class ChildOutput implements SilentPipe {
  readonly fd: number;
  readonly #name: OutputName;
  readonly #events: OutputEvents;
  readonly #onEnd: () => void;
  #isSilent: boolean;
  /** `undefined` while it is silent, and after its end. */
  #socket: Socket | undefined;

  /**
   * @param fd our end of the pipe, owned from here on
   * @param onEnd the last writer has closed it, or `close` was called; once, never during a call of ours
   */
  constructor(name: OutputName, fd: number, events: OutputEvents, onEnd: () => void) {
    this.#name = name;
    this.fd = fd;
    this.#events = events;
    this.#onEnd = onEnd;
    this.#isSilent = watchSilent(this);
    if (!this.#isSilent) {
      // macOS has no epoll, and the system may refuse to watch another descriptor.
      this.#open();
    }
  }

  spoke(): void {
    this.#isSilent = false;
    this.#open();
  }

  ended(): void {
    this.#isSilent = false;
    closeSync(this.fd);
    this.#onEnd();
  }

  #open(): void {
    const { fd } = this;
    this.#socket = new Socket({ fd, readable: true, writable: false, onread: outputReads(this.#name, this.#events) });
    this.#socket.on('error', () => this.#socket?.destroy());
    this.#socket.on('close', this.#onEnd);
  }

  /** Goes on reading after `onOutput` has said no. */
  resume(): void {
    this.#socket?.resume();
  }

  /** Stops reading for good. */
  close(): void {
    this.#socket?.destroy();
    if (this.#isSilent) {
      this.#isSilent = false;
      forgetSilent(this);
      setImmediate(() => this.ended());
    }
  }
}
