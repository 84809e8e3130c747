/** Output as base64: the WebAssembly routine gives what `Buffer` gives, and nothing depends on having it. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { generate, generatedPath } from '../../build/wasm.ts';
import {
  type Base64Encoder,
  createEncoder,
  stringEncoder,
  wasmEncoder,
} from '../../src/wire/base64-encoder/encoder.ts';

const maxBytes = 32_768;

function encoded(encoder: Base64Encoder, data: Buffer): string {
  const before = 5;
  const size = Math.ceil(data.length / 3) * 4;
  const target = Buffer.alloc(before + size + 40, 0xee);
  expect(encoder.write(data, target, before)).toBe(size);
  // Not one byte beside the place it was given.
  expect(target.subarray(0, before)).toEqual(Buffer.alloc(before, 0xee));
  expect(target.subarray(before + size)).toEqual(Buffer.alloc(40, 0xee));
  return target.latin1Slice(before, before + size);
}

function available(encoder: Base64Encoder | undefined): Base64Encoder {
  if (encoder === undefined) {
    throw new Error('this runtime has no WebAssembly');
  }
  return encoder;
}

describe.each([
  ['by WebAssembly', () => available(wasmEncoder(maxBytes))],
  ['without it', () => stringEncoder(maxBytes)],
])('%s', (_, create) => {
  const encoder = create();

  test('any bytes of any length become what Buffer makes of them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(encoded(encoder, Buffer.from(bytes))).toBe(Buffer.from(bytes).toString('base64'));
      }),
    );
  });

  test('all lengths up to the largest piece come out right, in the buffer that is read into and beside it', () => {
    const noise = Buffer.from(Array.from({ length: maxBytes }, (_, index) => (index * 7919 + (index >> 5)) & 0xff));
    const lengths = [...Array(130).keys(), ...Array.from({ length: 20 }, (_, index) => maxBytes - index)];
    for (const length of lengths) {
      const data = noise.subarray(0, length);
      // Whatever an earlier, longer read has left behind its end.
      encoder.input.fill(0xff);
      data.copy(encoder.input);
      const expected = data.toString('base64');
      expect(encoded(encoder, encoder.input.subarray(0, length))).toBe(expected);
      expect(encoded(encoder, data)).toBe(expected);
    }
  });

  test('every value of every place in a group has its character', () => {
    for (let byte = 0; byte < 256; byte++) {
      for (const data of [Buffer.of(byte, 0, 0), Buffer.of(0, byte, 0), Buffer.of(0, 0, byte), Buffer.of(byte, byte)]) {
        expect(encoded(encoder, data)).toBe(data.toString('base64'));
      }
    }
  });
});

test('a runtime without WebAssembly gets the other encoder, with the same bytes', () => {
  vi.stubGlobal('WebAssembly', undefined);
  try {
    expect(wasmEncoder(maxBytes)).toBeUndefined();
    expect(encoded(createEncoder(maxBytes), Buffer.from('held fast'))).toBe('aGVsZCBmYXN0');
  } finally {
    vi.unstubAllGlobals();
  }
});

test('the encoder that is used here is the one by WebAssembly', () => {
  expect(createEncoder(64).input.buffer.byteLength).toBeGreaterThanOrEqual(65_536);
});

test('the binary form in the repository is the one that encode.wat gives', async () => {
  expect(readFileSync(generatedPath, 'utf8')).toBe(await generate());
});
