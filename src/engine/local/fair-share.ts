/**
 * How much of one process's output is handled in a row. libuv would read 32 times, which makes everybody else's requests
 * late while a child floods; each turn of the loop costs something, so a flood that nobody else waits beside takes more.
 */
import { maxFrameData, outputEncoder } from '../../wire/frames.ts';

const readsAlone = 4;
const readsBesideRequests = 1;
/** A read, its encoding and its sending take a turn; a quarter of the bytes is a quarter of the time a request waits. */
const bytesBesideRequests = maxFrameData / 4;
/** So long after a request the next one is expected; a person at a keyboard, or a client that asks one thing after the other. */
const expectedMs = 50;

/** One for all processes of a daemon. */
export class FairShare {
  #requestsUntil = 0;
  #small: Buffer | undefined;

  /** A client has asked something. */
  requestCame(): void {
    this.#requestsUntil = performance.now() + expectedMs;
  }

  get #requestsCome(): boolean {
    return performance.now() < this.#requestsUntil;
  }

  /** Full reads of one process before the others have their turn. */
  get readsPerTurn(): number {
    return this.#requestsCome ? readsBesideRequests : readsAlone;
  }

  /** Where the next read goes: into the encoder's memory, which is as long as a read may be, or into a part of it. */
  readonly readBuffer = (): Buffer => {
    const { input } = outputEncoder();
    if (!this.#requestsCome) {
      return input;
    }
    this.#small ??= input.subarray(0, bytesBesideRequests);
    return this.#small;
  };
}
