/** The standard streams of this process as ends of a session: every byte once, and each end of a stream where it belongs. */
import type { Readable, Writable } from 'node:stream';
import { type Session, UnsupportedError } from '../../client/index.ts';
import { writerOf } from '../standard-outputs.ts';

/** Writes all of a session's stream to one of ours; waits as long as ours is full. @throws OutputClosed */
export async function copyOutput(from: ReadableStream<Uint8Array>, to: Writable): Promise<void> {
  const write = writerOf(to);
  for await (const bytes of from) {
    await write(bytes);
  }
}

/**
 * Hands our input to the session, and its end.
 * @returns what stops it; input that the session has not taken by then is lost with it
 */
export function copyInput(from: Readable, session: Session, complain: (text: string) => void): () => void {
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
    writer.close().catch((error: unknown) => {
      if (error instanceof UnsupportedError) {
        complain(`${error.message}; the program does not see the end of its input\n`);
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
