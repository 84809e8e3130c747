/** What readers have taken of their streams, told to the keeper in few messages. */
import type { RemoteStream } from './remote-stream.ts';

/** Taken bytes of a stream are told at the latest after so many, or so soon. */
const tellBytes = 256 * 1024;
const tellMs = 20;

/** @param lastSeq the last frame of which all is taken */
export type TellTaken = (stream: RemoteStream, bytes: number, lastSeq: number) => void;

export class TakenOutput {
  readonly #tell: TellTaken;
  readonly #taken = new Map<RemoteStream, { bytes: number; lastSeq: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: TellTaken) {
    this.#tell = tell;
  }

  add(stream: RemoteStream, bytes: number, lastSeq: number): void {
    let taken = this.#taken.get(stream);
    if (taken === undefined) {
      taken = { bytes: 0, lastSeq: 0 };
      this.#taken.set(stream, taken);
    }
    taken.bytes += bytes;
    taken.lastSeq = Math.max(taken.lastSeq, lastSeq);
    if (taken.bytes >= tellBytes) {
      this.#taken.delete(stream);
      this.#tell(stream, taken.bytes, taken.lastSeq);
    } else {
      this.#timer ??= setTimeout(() => this.tellAll(), tellMs);
    }
  }

  /** Everything that has not been told. */
  tellAll(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [stream, { bytes, lastSeq }] of this.#taken) {
      this.#tell(stream, bytes, lastSeq);
    }
    this.#taken.clear();
  }

  forget(stream: RemoteStream): void {
    this.#taken.delete(stream);
  }

  /** There is nobody to tell it to. */
  forgetAll(): void {
    this.#taken.clear();
  }
}
