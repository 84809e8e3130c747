/**
 * The outputs of children that nobody has written to yet. Most short programs write little or nothing, and a socket costs more
 * than anything else at the start of a process (docs/performance.md "Spawn rate"), so an output gets one when it first has
 * something to read. Until then all of them are in one epoll instance, and the event loop watches that.
 */
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_DATA_OFFSET,
  EPOLL_EVENT_BYTES,
  EPOLLIN,
  EPOLLONESHOT,
  type Epoll,
  epoll,
  type PollHandle,
  pollReadable,
} from '../../native-bindings/epoll.ts';
import { POLLIN, poll } from '../../native-bindings/libc.ts';

/** Our end of a pipe. It is told one of the two, once. */
export interface SilentPipe {
  readonly fd: number;
  /** There is something to read. */
  spoke(): void;
  /** The last writer has closed it, and it is empty. */
  ended(): void;
}

/** Pipes told of in one look; the rest is told of in the next turn of the event loop. */
const mostAtOnce = 64;

class Watch {
  readonly #calls: Epoll;
  readonly #epoll: number;
  readonly #handle: PollHandle;
  /** By descriptor. */
  readonly #pipes = new Map<number, SilentPipe>();
  readonly #event = Buffer.alloc(EPOLL_EVENT_BYTES);
  readonly #events = Buffer.alloc(mostAtOnce * EPOLL_EVENT_BYTES);
  /** One `struct pollfd`. */
  readonly #second = new Int32Array(2);
  #lookComes = false;

  /** @param descriptor an open epoll instance */
  constructor(calls: Epoll, descriptor: number) {
    this.#calls = calls;
    this.#epoll = descriptor;
    this.#handle = pollReadable(descriptor, () => this.#lookSoon());
    this.#handle.unref();
    // The runtime turns its event loop once more when no JavaScript can run any more, and the callback would end the process.
    process.once('exit', () => this.#handle.stop());
  }

  /** @returns whether the system watches it */
  add(pipe: SilentPipe): boolean {
    // Only once: a pipe is closed after it was told of, and the kernel goes on watching it for as long as another child, between
    // its start and its `execve`, has a copy of all our descriptors.
    this.#event.writeUInt32LE(EPOLLIN | EPOLLONESHOT, 0);
    this.#event.writeInt32LE(pipe.fd, EPOLL_DATA_OFFSET);
    if (this.#calls.epoll_ctl(this.#epoll, EPOLL_CTL_ADD, pipe.fd, this.#event) !== 0) {
      return false;
    }
    if (this.#pipes.size === 0) {
      this.#handle.ref();
    }
    this.#pipes.set(pipe.fd, pipe);
    return true;
  }

  remove(fd: number): void {
    this.#calls.epoll_ctl(this.#epoll, EPOLL_CTL_DEL, fd, this.#event);
    this.#forget(fd);
  }

  #forget(fd: number): void {
    if (this.#pipes.delete(fd) && this.#pipes.size === 0) {
      this.#handle.unref();
    }
  }

  /** In the same turn of the event loop, but called by the runtime, which then runs promises as usual. */
  #lookSoon(): void {
    if (!this.#lookComes) {
      this.#lookComes = true;
      setImmediate(this.#comingLook);
    }
  }

  readonly #comingLook = (): void => {
    // What was told meanwhile need not be asked for again.
    if (this.#lookComes) {
      this.look();
    }
  };

  look(): void {
    this.#lookComes = false;
    const events = this.#events;
    const count = this.#calls.epoll_wait(this.#epoll, events, mostAtOnce, 0);
    for (let at = 0; at < count * EPOLL_EVENT_BYTES; at += EPOLL_EVENT_BYTES) {
      const fd = events.readInt32LE(at + EPOLL_DATA_OFFSET);
      const pipe = this.#pipes.get(fd);
      if (pipe === undefined) {
        continue;
      }
      if ((events.readUInt32LE(at) & EPOLLIN) !== 0 || this.#hasBytes(fd)) {
        this.remove(fd);
        pipe.spoke();
      } else {
        this.#forget(fd);
        pipe.ended();
      }
    }
  }

  /**
   * The kernel looks for bytes first and for writers then, so the last writer may have written and gone in between. Without a
   * writer, a second look is exact.
   */
  #hasBytes(fd: number): boolean {
    this.#second[0] = fd;
    this.#second[1] = POLLIN;
    poll(this.#second, 1, 0);
    return ((this.#second[1] >>> 16) & POLLIN) !== 0;
  }
}

/** Made with the first child. */
let watch: Watch | undefined;

/** @returns `false`: it cannot be watched here */
export function watchSilent(pipe: SilentPipe): boolean {
  watch ??= openWatch();
  return watch?.add(pipe) === true;
}

/** `undefined`: there is no epoll, or no descriptor left for it now. */
function openWatch(): Watch | undefined {
  const descriptor = epoll?.epoll_create1(EPOLL_CLOEXEC) ?? -1;
  return epoll === undefined || descriptor < 0 ? undefined : new Watch(epoll, descriptor);
}

/** It is told nothing any more. Call it before the descriptor is closed. */
export function forgetSilent(pipe: SilentPipe): void {
  watch?.remove(pipe.fd);
}

/** Tells what there is to tell now, not only with the next turn of the event loop. */
export function tellSilent(): void {
  watch?.look();
}
