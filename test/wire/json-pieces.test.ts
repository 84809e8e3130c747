/** A text in pieces is the text in one (src/wire/json-pieces.ts). */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonStringPieces } from '../../src/wire/json-pieces.ts';
import { encodeBytes } from '../../src/wire/json-writer.ts';

function inPieces(bytes: Buffer, cuts: readonly number[]): string {
  const pieces = new JsonStringPieces();
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  let start = 0;
  const parts = ends.map((end) => {
    // Valid during the call only: what follows overwrites it.
    const piece = Buffer.from(bytes.subarray(start, end));
    const part = pieces.add(piece);
    piece.fill(0xff);
    start = end;
    return part;
  });
  return `"${Buffer.concat([...parts, pieces.end()])}"`;
}

/** Bytes among which characters of every length, broken ones and special ones are common. */
const bytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 3 }),
      fc.constantFrom('é', '€', '𝄞', '"', '\\', '<', '\u2028', '\ufffd', 'abc').map((text) => Buffer.from(text)),
      fc.constantFrom([0xe2, 0x82], [0xf0, 0x9d, 0x84], [0xc3], [0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90]),
    ),
    { maxLength: 20 },
  )
  .map((parts) => Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array))));

test('a file is told alike however it is cut while it is read', () => {
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(200), { maxLength: 6 }), (content, cuts) => {
      expect(inPieces(content, cuts)).toBe(encodeBytes(content));
    }),
    { numRuns: 2000 },
  );
});
