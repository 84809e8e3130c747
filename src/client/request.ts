/** One request and its reply, over a stream that leads to a daemon already (spec wire.md §1-3). */
import type { Duplex } from 'node:stream';
import { maxLineBytes } from '../wire/line-reader.ts';

export interface Request {
  readonly method: string;
  readonly params?: object;
  /** The token, where the method asks for one. */
  readonly auth?: string;
}

export interface Reply {
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string };
}

const id = 1;
const openBrace = 0x7b;
const newline = 0x0a;

/**
 * Frames that belong to no request of ours are passed over. The stream stays open; it is the caller's.
 * @returns `undefined` when no reply came: the stream ended or failed, `timeoutMs` have passed, or whoever answers does not
 * speak the protocol
 */
export async function requestOnce(
  stream: Duplex,
  { method, params, auth }: Request,
  { timeoutMs }: { readonly timeoutMs: number },
): Promise<Reply | undefined> {
  const { promise, resolve } = Promise.withResolvers<Reply | undefined>();
  let received: Buffer = Buffer.alloc(0);
  const nobody = (): void => resolve(undefined);
  const read = (chunk: Buffer): void => {
    received = Buffer.concat([received, chunk]);
    for (let end = received.indexOf(newline); end >= 0; end = received.indexOf(newline)) {
      const frame = frameOf(received.toString('utf8', 0, end));
      received = received.subarray(end + 1);
      if (frame === undefined || frame.id === id) {
        resolve(frame);
        return;
      }
    }
    const isFrame = received.length === 0 || received[0] === openBrace;
    if (!isFrame || received.length > maxLineBytes) {
      nobody();
    }
  };
  const limit = setTimeout(nobody, timeoutMs);
  stream.on('data', read).on('end', nobody).on('close', nobody).on('error', nobody);
  try {
    stream.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params, auth })}\n`);
    return await promise;
  } finally {
    clearTimeout(limit);
    // The listener for errors stays: what happens to the stream from now on must not end the process.
    stream.off('data', read).off('end', nobody).off('close', nobody);
  }
}

function frameOf(text: string): (Reply & { readonly id?: unknown }) | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
