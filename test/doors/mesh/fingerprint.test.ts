/** The request fingerprint and the checks before it (spec mesh.md §6). */
import { expect, test } from 'vitest';
import { canonicalJson, requestFingerprint } from '../../../src/doors/mesh/send/fingerprint.ts';
import { checkSendRequest } from '../../../src/doors/mesh/send/request.ts';

function fingerprintOf(body: object): string {
  const checked = checkSendRequest(body, undefined);
  return 'request' in checked ? checked.request.fingerprint.toString('hex') : JSON.stringify(checked.refused);
}

test('acceptance 7: the three published vectors', () => {
  expect(fingerprintOf({ to: 'alice', message: 'hello' })).toBe(
    'dc13f9d139b04e9886a09444fa269f46468843858070b13afee7889305c2aa09',
  );
  const meta = { z: { b: 1 }, a: 2 };
  expect(fingerprintOf({ to: '@ops', message: 'héllo', reply_to_id: 'm-1', priority: 'now', meta })).toBe(
    '2d677541d7c4439784f7331ac7fb3c3af3234ca2767b3ed81de228fa1d094e3b',
  );
  expect(fingerprintOf({ to: '*', message: 'other' })).toMatch(/^ea73b6ea33a94960/);
});

test('no meta and an empty one are two requests', () => {
  const request = { kind: 'dm', ref: 'alice', replyToId: undefined, priority: 'next', message: 'hello' } as const;
  expect(requestFingerprint({ ...request, meta: {} })).not.toEqual(requestFingerprint({ ...request, meta: undefined }));
});

test.each([
  ['{"b":1,"a":{"d":[1,{"y":2,"x":1}],"c":null}}', '{"a":{"c":null,"d":[1,{"x":1,"y":2}]},"b":1}'],
  ['{}', '{}'],
  ['{"a":[],"b":{}}', '{"a":[],"b":{}}'],
  ['{"__proto__":{"b":1,"a":2},"10":1,"9":2}', '{"10":1,"9":2,"__proto__":{"a":2,"b":1}}'],
  ['{"é":"\\u0007","e":1e3}', '{"e":1000,"é":"\\u0007"}'],
])('the keys of %s are put in order at every depth', (json, canonical) => {
  expect(canonicalJson(JSON.parse(json))).toBe(canonical);
});

test('meta nested deeper than the stack has a fingerprint like any other', () => {
  const depth = 100_000;
  const meta = JSON.parse(`{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`) as object;
  expect(fingerprintOf({ to: 'alice', message: 'hello', meta })).toMatch(/^[0-9a-f]{64}$/);
});

/** Each request has every fault from its own on, so the text tells which one is looked for first. */
test.each([
  [null, 'expected JSON object'],
  ['text', 'expected JSON object'],
  [[{ to: 'a', message: 'b' }], 'expected JSON object'],
  [{ to: '', message: '', priority: 'x', meta: 1 }, "missing 'to'"],
  [{ to: '   ', message: 'x' }, "missing 'to'"],
  [{ to: 5, message: 'x' }, "missing 'to'"],
  [{ message: 'x' }, "missing 'to'"],
  [{ to: 'a', message: '', priority: 'x', meta: 1 }, "missing 'message'"],
  [{ to: 'a', message: { text: 'x' } }, "missing 'message'"],
  [{ to: 'a', message: 'x', priority: 'high', meta: 1 }, "priority must be 'now' | 'next' | 'low'"],
  [{ to: 'a', message: 'x', priority: 1 }, "priority must be 'now' | 'next' | 'low'"],
  [{ to: 'a', message: 'x', meta: 1 }, "'meta' must be an object"],
  [{ to: 'a', message: 'x', meta: null }, "'meta' must be an object"],
  [{ to: 'a', message: 'x', meta: [] }, "'meta' must be an object"],
])('%j is refused: %s', (body, error) => {
  expect(checkSendRequest(body, undefined)).toEqual({ refused: { status: 400, body: { error } } });
});

test('the key is that of the body, then that of the header, then a new one', () => {
  const keyOf = (body: object, header?: string): string | undefined => {
    const checked = checkSendRequest({ to: 'a', message: 'x', ...body }, header);
    return 'request' in checked ? checked.request.clientMessageId : undefined;
  };
  expect(keyOf({ client_message_id: ' k1 ' }, 'k2')).toBe('k1');
  expect(keyOf({ client_message_id: '  ' }, ' k2 ')).toBe('k2');
  expect(keyOf({ client_message_id: 7 }, 'k2')).toBe('k2');
  expect(keyOf({}, '')).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
  expect(keyOf({})).not.toBe(keyOf({}));
});

test.each([
  ['*', 'topic', '*'],
  ['@ops', 'topic', 'ops'],
  [' alice ', 'dm', 'alice'],
  ['#aaaaaaaaaaaaaaaaaaaaaaaa', 'dm', '#aaaaaaaaaaaaaaaaaaaaaaaa'],
])('%j is a %s to %j', (to, kind, ref) => {
  const request = { kind: kind as 'dm' | 'topic', ref, replyToId: undefined, priority: 'next', meta: undefined };
  expect(fingerprintOf({ to, message: 'x' })).toBe(requestFingerprint({ ...request, message: 'x' }).toString('hex'));
});
