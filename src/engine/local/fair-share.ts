/**
 * How much of one process's output is handled in a row. libuv would read 32 times, which makes everybody else's requests
 * late while a child floods; each turn of the loop costs something, so a flood that nobody else waits beside takes more.
 */
const chunksAlone = 4;
const chunksBesideRequests = 1;
/** So long after a request the next one is expected; a person at a keyboard, or a client that asks one thing after the other. */
const expectedMs = 50;

/** One for all processes of a daemon. */
export class FairShare {
  #requestsUntil = 0;

  /** A client has asked something. */
  requestCame(): void {
    this.#requestsUntil = performance.now() + expectedMs;
  }

  /** Full reads of one process before the others have their turn. */
  get chunksPerTurn(): number {
    return performance.now() < this.#requestsUntil ? chunksBesideRequests : chunksAlone;
  }
}
