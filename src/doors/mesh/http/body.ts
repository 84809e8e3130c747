/** Bodies of requests: JSON whatever the Content-Type says, up to a limit (spec mesh.md §4). */
import type { IncomingMessage } from 'node:http';
import { type Answer, refusal } from '../answer.ts';

export type Body = { readonly value: unknown } | { readonly refused: Answer };

/**
 * A sender that is refused for the length of its body is listened to up to here, because an answer is lost when the connection
 * is cut under a sender that still writes.
 */
const mostDiscardedBytes = 16 * 1024 * 1024;

const tooLarge: Body = { refused: refusal(413, 'payload_too_large') };
const invalid: Body = { refused: refusal(400, 'invalid_json') };

/** @returns `value` is `undefined` for an empty body. Rejects when the connection breaks before the end */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<Body> {
  return new Promise((resolve, reject) => {
    let pieces: Buffer[] = [];
    let bytes = 0;
    request.on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (bytes <= limitBytes) {
        pieces.push(piece);
        return;
      }
      pieces = [];
      if (bytes > mostDiscardedBytes) {
        request.pause();
        resolve(tooLarge);
      }
    });
    request.on('end', () => resolve(bytes <= limitBytes ? parsed(Buffer.concat(pieces)) : tooLarge));
    request.on('error', reject);
    request.on('close', () => reject(new Error('the request has ended before its body')));
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parsed(bytes: Buffer): Body {
  try {
    const text = utf8.decode(bytes);
    return { value: text.trim() === '' ? undefined : JSON.parse(text) };
  } catch {
    return invalid;
  }
}
