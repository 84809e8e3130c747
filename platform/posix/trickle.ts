/**
 * Reading on behalf of a client whose way out stands still for a while (`RelayOptions.trickle`): a few bytes at a time are
 * taken from the daemon and kept until the output moves again, so that the daemon sees a reader that reads slowly.
 */
import { constants } from 'node:os';
import * as libc from '../../native-bindings/libc.ts';
import type { TrickleOptions } from '../dialer.ts';

/** Taken at a time. The daemon sees every single byte (unread-bytes.ts). */
const sipBytes = 16;
/** A write of so many bytes to a pipe that poll(2) calls writable neither blocks nor is cut (PIPE_BUF of Linux). */
const reserveBytes = 4096;
const { EAGAIN, EINTR } = constants.errno;

export class Trickle {
  readonly #options: TrickleOptions;
  readonly #connection: number;
  readonly #output: number;
  readonly #reserve = Buffer.alloc(reserveBytes);
  /** How many bytes of the reserve are in use. */
  #kept = 0;
  /** Since when the output has taken nothing; `undefined`: it moves. */
  #stillSince: number | undefined;
  #nextSipAt = 0;

  constructor(connection: number, output: number, options: TrickleOptions) {
    this.#connection = connection;
    this.#output = output;
    this.#options = options;
  }

  /** Whether bytes wait here that go before everything else. */
  get holds(): boolean {
    return this.#kept > 0;
  }

  /**
   * The output takes nothing now: takes some bytes if it is time to.
   * @returns after how many milliseconds to call again unless the output moves before; `undefined`: never
   */
  standsStill(): number | undefined {
    const { everyMs, patienceMs } = this.#options;
    const now = performance.now();
    if (this.#stillSince === undefined) {
      this.#stillSince = now;
      this.#nextSipAt = now + everyMs;
    }
    if (now - this.#stillSince >= patienceMs || this.#kept + sipBytes > reserveBytes) {
      return undefined;
    }
    if (now >= this.#nextSipAt) {
      this.#sip();
      this.#nextSipAt = now + everyMs;
    }
    return Math.ceil(this.#nextSipAt - now);
  }

  /** The output has taken something. */
  moved(): void {
    this.#stillSince = undefined;
  }

  /** Writes what was kept, to an output that is writable. */
  release(): 'waiting' | 'refused' {
    const written = Number(libc.write(this.#output, this.#reserve.subarray(0, this.#kept), this.#kept));
    if (written >= 0) {
      this.#reserve.copyWithin(0, written, this.#kept);
      this.#kept -= written;
      return 'waiting';
    }
    const errno = libc.errno();
    return errno === EAGAIN || errno === EINTR ? 'waiting' : 'refused';
  }

  /** Nothing is taken when there is nothing, or when the daemon has closed: the relay finds that out. */
  #sip(): void {
    const free = this.#reserve.subarray(this.#kept, this.#kept + sipBytes);
    this.#kept += Math.max(0, Number(libc.recv(this.#connection, free, free.length, libc.MSG_DONTWAIT)));
  }
}
