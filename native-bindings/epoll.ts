/** sys/epoll.h, which only Linux has, and libuv's watch of a descriptor as koffi hands it on. */
import koffi, { type KoffiFunc } from 'koffi';

export const EPOLL_CLOEXEC = 0o2000000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLLIN = 1;
/** The descriptor is told once and not again until it is armed anew. */
export const EPOLLONESHOT = 0x4000_0000;

/** struct epoll_event { uint32_t events; uint64_t data }, which is packed on x64 only. */
export const EPOLL_DATA_OFFSET = process.arch === 'x64' ? 4 : 8;
export const EPOLL_EVENT_BYTES = EPOLL_DATA_OFFSET + 8;

/** Each call gives -1 for a failure, with `errno()` of libc.ts. */
export interface Epoll {
  readonly epoll_create1: KoffiFunc<(flags: number) => number>;
  readonly epoll_ctl: KoffiFunc<(epoll: number, operation: number, fd: number, event: Buffer) => number>;
  /** @returns how many events were written */
  readonly epoll_wait: KoffiFunc<(epoll: number, events: Buffer, most: number, timeoutMs: number) => number>;
}

/** `undefined` where the system has none. */
export const epoll: Epoll | undefined = process.platform === 'linux' ? declare() : undefined;

function declare(): Epoll {
  const libc = koffi.load(null);
  return {
    epoll_create1: libc.func('int epoll_create1(int flags)'),
    epoll_ctl: libc.func('int epoll_ctl(int epoll, int operation, int fd, void *event)'),
    epoll_wait: libc.func('int epoll_wait(int epoll, void *events, int most, int timeoutMs)'),
  };
}

/** A watched descriptor. It keeps the event loop running unless `unref` was called. */
export type PollHandle = ReturnType<typeof koffi.node.poll>;

/**
 * Has the event loop of this thread watch a descriptor, and calls back in each of its turns in which there is something to read.
 * The runtime does not know of the call: it runs neither promises nor `process.nextTick` after it.
 * @param fd open, and of a kind that can be watched: for any other koffi ends the process
 */
export const pollReadable = (fd: number, onReadable: () => void): PollHandle => koffi.node.poll(fd, onReadable);
