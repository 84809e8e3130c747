/** Which refusals of a broker are final (spec mesh.md §8). */
import { expect, test } from 'vitest';
import { isPermanentError } from '../../../src/doors/mesh/send/permanent-errors.ts';

test.each([
  'payload_too_large',
  'payload too large: 70005 bytes > MAX_MESSAGE_BYTES=65536',
  'blocked by recipient grants (sender lacks dm capability)',
  'FORBIDDEN',
  'topic_not_found',
  'Invalid nonce',
  'message does not fit the schema',
  'unauthorized',
  'bad_signature',
  'peer "bob" is forbidden',
  "can't do that: invalid target",
  'the word "unknown is not closed: forbidden',
])('%j is final', (error) => {
  expect(isPermanentError(error)).toBe(true);
});

test.each([
  'rate_limit: max 60 msg/min (burst 10) — slow down',
  'no connected peer for target (not online, or targetSpec is your own key without another session)',
  'internal error, try again',
  'peer "schema-bot" is busy',
  "peer 'auth' is busy",
  'peer `signature` is busy',
  'peer “forbidden” is busy',
  'no answer from "invalid", nor from "not_found"',
  '',
])('%j is tried again', (error) => {
  expect(isPermanentError(error)).toBe(false);
});
