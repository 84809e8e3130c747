import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JsonText } from '../../src/wire/json.ts';
import {
  encodeBytes,
  encodeNumber,
  encodeResult,
  encodeString,
  errorFrame,
  resultFrame,
} from '../../src/wire/json-writer.ts';
import { decodeBytes } from '../../src/wire/utf8.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('strings', () => {
  test.each([
    ['', ''],
    ['plain text', 'plain text'],
    ['"\\', '\\"\\\\'],
    ['\b\f\n\r\t', '\\b\\f\\n\\r\\t'],
    ['\u0000\u0001\u000b\u001f', '\\u0000\\u0001\\u000b\\u001f'],
    ['<>&', '\\u003c\\u003e\\u0026'],
    ['\u2028\u2029', '\\u2028\\u2029'],
    ["\u007f/'\u0085é日😀\ufffd\ufeff\uffff", "\u007f/'\u0085é日😀\ufffd\ufeff\uffff"],
    ['\udcff', '\\ufffd'],
    ['a\ud800b', 'a\\ufffdb'],
    ['\udc80\udc81😀\ud83d', '\\ufffd\\ufffd😀\\ufffd'],
    ['\\ud800', '\\\\ud800'],
    ['\\\ud800', '\\\\\\ufffd'],
    ['\u0001\ud800\u0001', '\\u0001\\ufffd\\u0001'],
    ['\\\\ud800\ud800', '\\\\\\\\ud800\\ufffd'],
    ['\ufffd\udcff', '\ufffd\\ufffd'],
  ])('%j is written as %s', (text, written) => {
    expect(encodeString(text)).toBe(`"${written}"`);
  });

  test('any text comes back from JSON.parse, with lone surrogates as U+FFFD', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.array(fc.integer({ min: 0, max: 0xffff })), (text, units) => {
        for (const each of [text, String.fromCharCode(...units)]) {
          const written = encodeString(each);
          expect(JSON.parse(written)).toBe(each.toWellFormed());
          expect(written.isWellFormed()).toBe(true);
          expect(written).not.toMatch(/[<>&\u2028\u2029\u0000-\u001f]/);
        }
      }),
    );
  });
});

describe('bytes', () => {
  test.each([
    ['plain', 'plain'],
    ['a<b>c&d\n', 'a\\u003cb\\u003ec\\u0026d\\n'],
    ['pre\xed\xa0\x80post\n', 'pre\\ufffd\\ufffd\\ufffdpost\\n'],
    ['\xc0\xaf-\xe0\x80\xaf', '\\ufffd\\ufffd-\\ufffd\\ufffd\\ufffd'],
    ['\xe2\x82', '\\ufffd\\ufffd'],
    ['\xf5\x80\x80\x80', '\\ufffd\\ufffd\\ufffd\\ufffd'],
    ['\xf4\x8f\xbf\xbf\xf4\x90\x80\x80', '\u{10ffff}\\ufffd\\ufffd\\ufffd\\ufffd'],
    ['\xed\x9f\xbf\xee\x80\x80', '\ud7ff\ue000'],
    ['a\xef\xbf\xbdb', 'a\ufffdb'],
    ['a\xef\xbf\xbdb\xff', 'a\ufffdb\\ufffd'],
    ['\xef\xbb\xbfx', '\ufeffx'],
    ['a\xe2\x80\xa8b\xe2\x80\xa9c', 'a\\u2028b\\u2029c'],
    ['\x01\x1f\t\r\n"\\/\x7f', '\\u0001\\u001f\\t\\r\\n\\"\\\\/\x7f'],
  ])('%j is written as %s', (content, written) => {
    expect(encodeBytes(bytes(content))).toBe(`"${written}"`);
  });

  test('each bad byte is one lone surrogate that names it', () => {
    expect(decodeBytes(bytes('a\xffz\xc3\xa9\xe2\x82\xac\xed\xa0\x80'))).toBe('a\udcffzé€\udced\udca0\udc80');
    expect(decodeBytes(bytes('\xe2\x82'))).toBe('\udce2\udc82');
  });

  test('any bytes can be had back from their text', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0x80, max: 0xf5 }))),
        (content) => {
          const back = Buffer.concat(
            Array.from(decodeBytes(Buffer.from(content)), (character) => {
              const point = character.codePointAt(0) ?? 0;
              return point >= 0xdc80 && point <= 0xdcff ? Buffer.of(point - 0xdc00) : Buffer.from(character);
            }),
          );
          expect([...back]).toEqual(content);
        },
      ),
    );
  });
});

describe('numbers', () => {
  test.each([
    [0, '0'],
    [-0, '-0'],
    [1, '1'],
    [-1.5, '-1.5'],
    [0.1, '0.1'],
    [1785456000123, '1785456000123'],
    [1e20, '100000000000000000000'],
    [1e21, '1e+21'],
    [0.000001, '0.000001'],
    [1e-7, '1e-7'],
    [1.5e300, '1.5e+300'],
  ])('%d is written as %s', (value, written) => {
    expect(encodeNumber(value)).toBe(written);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%d is refused', (value) => {
    expect(() => encodeNumber(value)).toThrow(RangeError);
  });
});

describe('results and frames', () => {
  test('keys keep their order, undefined ones are left out', () => {
    expect(
      encodeResult({
        z: 1,
        gone: undefined,
        a: 'x<y',
        big: 18446744073709551615n,
        yes: true,
        list: ['a', 1, [], {}, { b: undefined }],
        inner: { 'k&': false },
        raw: new JsonText('{"as":"it is"}'),
      }),
    ).toBe(
      '{"z":1,"a":"x\\u003cy","big":18446744073709551615,"yes":true,"list":["a",1,[],{},{}],"inner":{"k\\u0026":false},"raw":{"as":"it is"}}',
    );
    expect(encodeResult({})).toBe('{}');
    expect(encodeResult({ a: undefined })).toBe('{}');
  });

  test('the two frames of a reply', () => {
    expect(resultFrame('1', encodeResult({ pong: true }))).toBe('{"jsonrpc":"2.0","id":1,"result":{"pong":true}}\n');
    expect(errorFrame('9', -32601, 'Unknown method: server.<x>')).toBe(
      '{"jsonrpc":"2.0","id":9,"error":{"code":-32601,"message":"Unknown method: server.\\u003cx\\u003e"}}\n',
    );
    expect(Buffer.byteLength(errorFrame('null', -32700, 'Parse error'))).toBe(76);
  });
});
