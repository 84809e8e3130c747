/**
 * A place between two frames of a stream, where the reply of a request belongs. The stream stands still there until the
 * reply is known: so "after these frames and before those" is an order of data, whoever is quicker.
 */
export interface MarkedStream {
  /** The mark has its reply. @returns whether the stream stands at it already, and is past it now */
  filled(mark: Mark): boolean;
}

export class Mark {
  #reply: string | undefined;
  #stream: MarkedStream | undefined;
  #onPassed: (() => void) | undefined;

  /** @param stream where the mark stands; `undefined`: nowhere, because that stream has ended */
  constructor(stream: MarkedStream | undefined) {
    this.#stream = stream;
  }

  /**
   * Puts the reply in its place; the stream hands it out between its frames.
   * @returns `false` when everything before the place has been taken, or the stream has ended: then the reply may go out at
   * once, in front of every frame that is taken from now on
   */
  fill(reply: string): boolean {
    this.#reply = reply;
    return this.#stream !== undefined && !this.#stream.filled(this);
  }

  /** Where it stands; `undefined`: it has been passed, or its stream has ended. */
  get stream(): MarkedStream | undefined {
    return this.#stream;
  }

  /** Puts nothing in the place. Resolves when the stream has come to it, or has ended. */
  passed(): Promise<void> {
    return new Promise((resolve) => {
      this.#onPassed = resolve;
      if (!this.fill('')) {
        resolve();
      }
    });
  }

  /** What `fill` was given, empty after `passed`; `undefined` as long as the stream must stand still. */
  get reply(): string | undefined {
    return this.#reply;
  }

  /** The stream has passed this place, or has ended before it. */
  leaveStream(): void {
    this.#stream = undefined;
    this.#onPassed?.();
  }
}
