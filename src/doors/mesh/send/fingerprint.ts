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

/** A piece of JSON that is still to be written: text as it is, or a value. */
type Piece = { readonly text: string } | { readonly value: unknown };

/**
 * JSON without spaces and with the keys of every object in order. Without recursion, because `value` is a stranger's JSON and may be
 * nested deeper than the stack.
 */
export function canonicalJson(value: unknown): string {
  const written: string[] = [];
  const waiting: Piece[] = [{ value }];
  for (let piece = waiting.pop(); piece !== undefined; piece = waiting.pop()) {
    if ('text' in piece) {
      written.push(piece.text);
    } else if (typeof piece.value === 'object' && piece.value !== null) {
      // The last piece is taken first.
      for (const part of piecesOf(piece.value).reverse()) {
        waiting.push(part);
      }
    } else {
      written.push(JSON.stringify(piece.value));
    }
  }
  return written.join('');
}

function piecesOf(container: object): Piece[] {
  if (Array.isArray(container)) {
    const items = container.flatMap((value: unknown, at): Piece[] => [{ text: at === 0 ? '' : ',' }, { value }]);
    return [{ text: '[' }, ...items, { text: ']' }];
  }
  const values = container as Readonly<Record<string, unknown>>;
  const members = Object.keys(values)
    .sort()
    .flatMap((key, at): Piece[] => [{ text: `${at === 0 ? '' : ','}${JSON.stringify(key)}:` }, { value: values[key] }]);
  return [{ text: '{' }, ...members, { text: '}' }];
}
