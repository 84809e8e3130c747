import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeBase64 } from '../../src/wire/base64.ts';

const decoded = (text: string): string | undefined => decodeBase64(text)?.toString('latin1');

describe('base64 of process.stdin', () => {
  test.each([
    ['', ''],
    ['\r\n', ''],
    ['QQ==', 'A'],
    ['QUI=', 'AB'],
    ['QUJD', 'ABC'],
    ['QUJDRA==', 'ABCD'],
    ['Q\nU\rJ\r\nD\n', 'ABC'],
    ['QQ=\n=', 'A'],
    ['QQ\r==\n\n', 'A'],
    ['aGk=', 'hi'],
    ['aGl=', 'hi'],
    ['QR==', 'A'],
    ['+/+/', '\xfb\xff\xbf'],
  ])('%j is accepted', (text, bytes) => {
    expect(decoded(text)).toBe(bytes);
  });

  test.each([
    'Q',
    'QQ',
    'QQ=',
    'QUI',
    'QUJDR',
    '=',
    '==',
    '====',
    'Q===',
    'QQ===',
    'QUI==',
    'QUJD=',
    'QUJD====',
    'QQ==QUJD',
    'QQ==x',
    'QQ=A',
    'QU I=',
    ' QUI=',
    'QUI= ',
    'QU\tI=',
    '-_-_',
    'QUJ\u00c4',
    'QUJ\u0141',
    'QUJD\u0000',
    'QUJD😀',
    '!!!!',
  ])('%j is refused', (text) => {
    expect(decodeBase64(text)).toBeUndefined();
  });

  test('whatever was encoded is decoded again, with line ends anywhere', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.array(fc.tuple(fc.nat(), fc.constantFrom('\r', '\n'))),
        (bytes, ends) => {
          let text = Buffer.from(bytes).toString('base64');
          for (const [position, end] of ends) {
            const at = position % (text.length + 1);
            text = text.slice(0, at) + end + text.slice(at);
          }
          expect(decodeBase64(text)).toEqual(Buffer.from(bytes));
        },
      ),
    );
  });

  test('a text is refused exactly when a decoder that takes one character at a time refuses it', () => {
    const character = fc.constantFrom(...'ABQgz09+/=\r\n', '-', '_', ' ', '\u0141');
    const mutations = fc.array(fc.tuple(fc.nat(), fc.boolean(), character), { maxLength: 3 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), mutations, (bytes, changes) => {
        let text = Buffer.from(bytes).toString('base64');
        for (const [position, removes, insert] of changes) {
          const at = position % (text.length + 1);
          text = text.slice(0, at) + insert + text.slice(at + (removes ? 1 : 0));
        }
        expect(decodeBase64(text)).toEqual(decodeOneByOne(text));
      }),
      { numRuns: 5000 },
    );
  });
});

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function decodeOneByOne(text: string): Buffer | undefined {
  const out: number[] = [];
  let bits = 0;
  let count = 0;
  let padding = 0;
  for (const character of text) {
    if (character === '\r' || character === '\n') {
      continue;
    }
    if (character === '=') {
      padding++;
      continue;
    }
    const value = alphabet.indexOf(character);
    if (value === -1 || padding > 0) {
      return undefined;
    }
    bits = (bits << 6) | value;
    count++;
    if (count === 4) {
      out.push(bits >> 16, (bits >> 8) & 0xff, bits & 0xff);
      bits = 0;
      count = 0;
    }
  }
  if (count === 0 && padding === 0) {
    return Buffer.from(out);
  }
  if (count === 2 && padding === 2) {
    return Buffer.from([...out, bits >> 4]);
  }
  return count === 3 && padding === 1 ? Buffer.from([...out, bits >> 10, (bits >> 2) & 0xff]) : undefined;
}
