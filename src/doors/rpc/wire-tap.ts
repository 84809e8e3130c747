/** Somebody who looks on at one connection (the wire log). A connection without one pays for nothing. */
export interface WireTap {
  /** One line of the client, without its end; valid during the call only. */
  received(line: Buffer): void;
  /** Whole frames on their way to the client, each with its newline; valid during the call only. */
  sent(frames: Buffer | readonly string[]): void;
}
