/** What makes two send requests the same request (spec mesh.md §6). */
import { createHash } from 'node:crypto';

export interface FingerprintedRequest {
  readonly kind: 'dm' | 'topic';
  readonly ref: string;
  readonly replyToId: string | undefined;
  readonly priority: string;
  readonly meta: object | undefined;
  readonly message: string;
}

/** 32 bytes: sha256("1" NUL kind NUL ref NUL reply NUL priority NUL canonical meta NUL sha256(message)). */
export function requestFingerprint(request: FingerprintedRequest): Buffer {
  const { kind, ref, replyToId = '', priority, meta, message } = request;
  const parts = ['1', kind, ref, replyToId, priority, meta === undefined ? '' : canonicalJson(meta)];
  return createHash('sha256')
    .update(`${parts.join('\0')}\0`)
    .update(createHash('sha256').update(message).digest())
    .digest();
}

/** Text as it is, or a value that is still to be written. */
type Piece = string | { readonly value: unknown };

/**
 * JSON without spaces and with the keys of every object in order. Without recursion, because `value` is a stranger's JSON and may be
 * nested deeper than the stack.
 */
export function canonicalJson(value: unknown): string {
  const written: string[] = [];
  /** The last piece is the next to be written. */
  const waiting: Piece[] = [{ value }];
  for (let piece = waiting.pop(); piece !== undefined; piece = waiting.pop()) {
    if (typeof piece === 'string') {
      written.push(piece);
    } else if (Array.isArray(piece.value)) {
      written.push('[');
      waiting.push(']');
      pushReversed(waiting, piece.value, () => '');
    } else if (typeof piece.value === 'object' && piece.value !== null) {
      const object = piece.value as Readonly<Record<string, unknown>>;
      const keys = Object.keys(object).sort();
      written.push('{');
      waiting.push('}');
      const values = keys.map((key) => object[key]);
      pushReversed(waiting, values, (at) => `${JSON.stringify(keys[at])}:`);
    } else {
      written.push(JSON.stringify(piece.value));
    }
  }
  return written.join('');
}

function pushReversed(waiting: Piece[], values: readonly unknown[], label: (at: number) => string): void {
  for (let at = values.length - 1; at >= 0; at--) {
    waiting.push({ value: values[at] }, `${at === 0 ? '' : ','}${label(at)}`);
  }
}
