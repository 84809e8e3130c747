/**
 * The light byte pump of `-bridge` (spec modes.md §9): `poll` and `splice`, so that bytes go from one descriptor to the
 * other inside the kernel. Linux, with pipes as standard input and output; anything else takes the plain path.
 */
import { flushCompileCache } from 'node:module';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import * as libc from '../../native-bindings/libc.ts';
import type { RelayOptions } from '../dialer.ts';
import { trimMemory } from './memory.ts';
import { socketDescriptor } from './socket-descriptor.ts';
import { Trickle } from './trickle.ts';

/** What one `splice` may move; a pipe holds less, unless somebody has made it larger. */
const maxMoveBytes = 1024 * 1024;
/** The process counts as idle after so long without a byte. */
const idleMs = 2_000;
/**
 * In a conversation the next bytes come within some 30 us, and to be woken for them takes longer. So after bytes have moved
 * the descriptors are looked at this often before the thread sleeps.
 */
const looksForNext = 60;
const { EAGAIN, EINTR, EINVAL, EPIPE } = constants.errno;

const standardInput = 0;
const standardOutput = 1;

/** One way, waiting for one of its two ends at a time. */
interface Direction {
  readonly from: number;
  readonly to: number;
  waitsFor: 'readable' | 'writable';
}

/** `refused`: nobody takes the bytes; `failed`: there are none to get any more. */
type Outcome = 'waiting' | 'ended' | 'refused' | 'failed' | 'unsupported';

/**
 * Moves bytes between the standard streams and a connection nothing was read from yet, until the daemon has closed and
 * all of its bytes are out, or nobody reads our output any more. Blocks the thread meanwhile; back-pressure is the
 * kernel's. The descriptors of others keep their flags: `SPLICE_F_NONBLOCK` speaks for pipes, and the connection is ours.
 * Standard input and output are pipes.
 * @returns `false`, with no byte moved, where the system cannot splice these descriptors
 */
export function relayBySplice(socket: Socket, options: RelayOptions): boolean {
  const { poll, splice } = libc;
  const connection = socketDescriptor(socket);
  if (splice === undefined || connection < 0) {
    return false;
  }

  /**
   * Moves the bytes that are there by one call, so that the other direction gets its turn. After EAGAIN the direction waits
   * for its other end.
   */
  function move(direction: Direction): Outcome {
    const flags = libc.SPLICE_F_MOVE | libc.SPLICE_F_NONBLOCK;
    const moved = Number(splice?.(direction.from, null, direction.to, null, maxMoveBytes, flags));
    if (moved === 0) {
      return 'ended';
    }
    if (moved > 0) {
      movedAnything = true;
      direction.waitsFor = 'readable';
      return 'waiting';
    }
    const errno = libc.errno();
    if (errno === EINTR) {
      return 'waiting';
    }
    if (errno === EINVAL && !movedAnything) {
      return 'unsupported';
    }
    if (errno !== EAGAIN) {
      return errno === EPIPE ? 'refused' : 'failed';
    }
    direction.waitsFor = direction.waitsFor === 'readable' ? 'writable' : 'readable';
    return 'waiting';
  }

  const trickle = options.trickle && new Trickle(connection, standardOutput, options.trickle);
  let movedAnything = false;
  let toldIdle = false;
  /** How many more times to look without waiting. */
  let looks = 0;
  /** The last bytes went up, and nothing has come down since. */
  let asked = false;
  const down: Direction = { from: connection, to: standardOutput, waitsFor: 'readable' };
  let up: Direction | undefined = { from: standardInput, to: connection, waitsFor: 'readable' };
  // struct pollfd { int fd; short events; short revents; }, one for each direction; a negative descriptor is not looked at.
  const entries = new Int32Array(4);
  const put = (index: number, direction: Direction | undefined): void => {
    const readable = direction?.waitsFor === 'readable';
    entries[2 * index] = direction === undefined ? -1 : readable ? direction.from : direction.to;
    entries[2 * index + 1] = readable ? libc.POLLIN : libc.POLLOUT;
  };
  const isReady = (index: number): boolean => (entries[2 * index + 1] ?? 0) >>> 16 !== 0;

  for (;;) {
    put(0, down);
    put(1, up);
    const idleInMs = looks > 0 ? 0 : toldIdle ? undefined : idleMs;
    const sipInMs = down.waitsFor === 'writable' ? trickle?.standsStill() : undefined;
    const ready = poll(entries, 2, soonest(idleInMs, sipInMs));
    if (ready === 0 && looks === 0 && !toldIdle) {
      toldIdle = true;
      // The runtime keeps compiled code at its end only, and a bridge is often killed with its ssh session.
      flushCompileCache();
      trimMemory();
    }
    const looking = looks > 0;
    looks = ready === 0 && looking ? looks - 1 : 0;
    if (ready <= 0) {
      continue;
    }
    if (isReady(0)) {
      if (down.waitsFor === 'writable') {
        trickle?.moved();
      }
      const outcome = trickle?.holds ? trickle.release() : move(down);
      if (outcome === 'unsupported') {
        return false;
      }
      if (outcome !== 'waiting') {
        return true;
      }
      // The answer came while we were looking, so the client may send its next request as soon: look again. Only once for
      // each request, because in a stream there is no request to come.
      if (looking && asked) {
        looks = looksForNext;
      }
      asked = false;
    }
    if (up !== undefined && isReady(1)) {
      const outcome = move(up);
      if (outcome === 'unsupported') {
        return false;
      }
      if (outcome === 'waiting') {
        looks = looksForNext;
        asked = true;
        continue;
      }
      up = undefined;
      // The daemon takes no more input, but what it sent before that still has to reach the output.
      if (outcome === 'ended' && libc.shutdown(connection, libc.SHUT_WR) !== 0) {
        return true;
      }
    }
  }
}

/** The timeout of poll(2): the first of two moments, -1 when neither of them comes. */
function soonest(...moments: readonly (number | undefined)[]): number {
  const known = moments.filter((ms) => ms !== undefined);
  return known.length === 0 ? -1 : Math.min(...known);
}
