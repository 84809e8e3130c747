/** A verb asks the daemon over the owner's way (spec mesh.md §2). */
import { type IncomingMessage, request } from 'node:http';
import type { Dialer } from '../../../../platform/dialer.ts';
import { pipeName } from '../folders.ts';
import { meshTimings } from '../timings.ts';

export interface DaemonAnswer {
  readonly status: number;
  /** Parsed; `undefined` when it is no JSON. */
  readonly body: unknown;
}

export interface DaemonRequest {
  readonly method: 'GET' | 'POST';
  /** With its query. */
  readonly path: string;
  readonly body?: object;
  readonly timeoutMs?: number;
}

/** Longer answers are no answers of a daemon. */
const mostAnswerBytes = 16 * 1024 * 1024;

/** Rejects when there is no daemon, or it does not answer within the time. */
export async function askDaemon(
  socketPath: string,
  dialer: Dialer,
  { method, path, body, timeoutMs = meshTimings.answerMs }: DaemonRequest,
): Promise<DaemonAnswer> {
  const socket = await dialer.dial(socketPath, { timeoutMs, fixedName: pipeName });
  let timer: NodeJS.Timeout | undefined;
  try {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return await new Promise<DaemonAnswer>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      socket.on('error', reject);
      const sent = request(
        {
          createConnection: () => socket,
          method,
          path,
          headers: {
            Host: 'localhost',
            Connection: 'close',
            ...(text === undefined
              ? {}
              : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
          },
        },
        (response) => answerOf(response).then(resolve, reject),
      );
      sent.on('error', reject);
      sent.end(text);
    });
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

async function answerOf(response: IncomingMessage): Promise<DaemonAnswer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > mostAnswerBytes) {
      throw new Error(`the answer has more than ${mostAnswerBytes} bytes`);
    }
    pieces.push(piece);
  }
  const status = response.statusCode ?? 0;
  try {
    return { status, body: JSON.parse(Buffer.concat(pieces).toString('utf8')) };
  } catch {
    return { status, body: undefined };
  }
}
