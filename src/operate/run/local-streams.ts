/** The standard streams of this process as ends of a session: every byte once, and each end of a stream where it belongs. */
import type { Readable, Writable } from 'node:stream';
import { isatty } from 'node:tty';
import { type Session, UnsupportedError } from '../../client/index.ts';
import { writerOf } from '../standard-outputs.ts';

/** Writes all of a session's stream to one of ours; waits as long as ours is full. @throws OutputClosed */
export async function copyOutput(from: ReadableStream<Uint8Array>, to: Writable): Promise<void> {
  const write = writerOf(to);
  for await (const bytes of from) {
    await write(bytes);
  }
}

export interface InputEvents {
  /** Takes a text for the user. */
  complain(text: string): void;
  /** The terminal that the input came from is gone, in place of the end of the input; `undefined`: that is an end like any. */
  readonly terminalGone: (() => void) | undefined;
}

/**
 * Hands our input to the session, and its end.
 * @returns what stops it; input that the session has not taken by then is lost with it
 */
export function copyInput(
  from: Readable & { readonly fd?: number },
  session: Session,
  events: InputEvents,
): () => void {
  const isTerminal = (): boolean => from.fd !== undefined && isatty(from.fd);
  const wasTerminal = isTerminal();
  const writer = session.stdin.getWriter();
  // The session ends without having read all of it: that is the program's own business, as it is with a pipe.
  writer.closed.catch(() => {});
  const fail = (): void => {
    from.destroy();
  };
  from.on('data', (bytes: Buffer) => {
    const room = writer.write(bytes);
    room.catch(fail);
    from.pause();
    room.then(
      () => from.resume(),
      () => {},
    );
  });
  const end = (): void => {
    // Whoever types Ctrl+D still has a terminal.
    if (events.terminalGone !== undefined && wasTerminal && !isTerminal()) {
      events.terminalGone();
      return;
    }
    writer.close().catch((error: unknown) => {
      if (error instanceof UnsupportedError) {
        events.complain(`${error.message}; the program does not see the end of its input\n`);
      }
    });
  };
  from.on('end', end);
  // A descriptor that cannot be read is an input that is over.
  from.on('error', end);
  return () => {
    from.removeAllListeners('data');
    from.destroy();
  };
}
