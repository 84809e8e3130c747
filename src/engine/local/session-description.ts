/** What a session keeps of the request that started it, and the memory this takes. */

/** What the request for a process says about it. */
export interface SessionDescription {
  readonly id: string;
  /** Agent session this spawn belongs to (session-key.ts). */
  readonly key: string | undefined;
  readonly command: string;
  /** argv from 1 on, as the client sent it. */
  readonly args: readonly string[];
  /** As sent. */
  readonly cwd: string | undefined;
  readonly door: string | undefined;
  /** The program it was started through; `undefined`: none. */
  readonly launcher: string | undefined;
}

/** A process costs some memory that is no text; the id stands in each frame's head besides. */
const bytesPerSession = 4096;

/** What a session keeps of its request. A character takes two bytes where the text is not Latin. */
export function bytesOfWords({ id, command, args, cwd, door }: SessionDescription): number {
  const characters = args.reduce((sum, word) => sum + word.length, 4 * id.length + command.length);
  return bytesPerSession + 2 * (characters + (cwd?.length ?? 0) + (door?.length ?? 0));
}
