/** How a request shows who sent it, and that nobody changed it (spec agent.md §8). */
import { createHash, createHmac } from 'node:crypto';

const version = 'v1';

export interface SignedRequest {
  readonly method: string;
  /** With the query and with the path prefix of the server, exactly as sent. */
  readonly path: string;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  readonly body: Uint8Array;
}

/** `sha256=<64 lower-case hex>`, an HMAC with the agent token as its key. */
export function signatureOf({ method, path, timestamp, body }: SignedRequest, token: string): string {
  const bodyHash = createHash('sha256').update(body).digest('hex');
  const text = [version, method, path, String(timestamp), bodyHash].join('\n');
  return `sha256=${createHmac('sha256', token).update(text).digest('hex')}`;
}

export function signatureHeaders(request: SignedRequest, token: string): Record<string, string> {
  return {
    'X-Signature-Version': version,
    'X-Signature-Timestamp': String(request.timestamp),
    'X-Signature': signatureOf(request, token),
  };
}
