import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { atOnce } from '../../platform/steps.ts';
import type { JsonSlice } from '../../src/wire/json.ts';
import { type Request, readRequest } from '../../src/wire/json-reader.ts';

/** Text that stands for bytes: each character up to U+00FF is one byte. */
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const requestOf = (line: Buffer): Request | undefined => atOnce(readRequest(line));
const read = (line: string): Request | undefined => requestOf(Buffer.from(line));
const idOf = (id: string): string | undefined => read(`{"id":${id}}`)?.idText;
const textOf = (slice: JsonSlice | undefined): string | undefined =>
  slice?.bytes.toString('utf8', slice.start, slice.end);

const nothingSent = { idText: 'null', jsonrpc: '', method: '', auth: Buffer.alloc(0), params: undefined };

describe('what a line may be', () => {
  test('a request is read whatever the order of its members and the white space between them', () => {
    const request = read(
      ' {\t"auth" : "T" , "params":{"a": [1, 2]} ,\r"method":"server.ping","id": 5,"jsonrpc":"2.0" } ',
    );
    expect(request).toMatchObject({ idText: '5', jsonrpc: '2.0', method: 'server.ping', auth: Buffer.from('T') });
    expect(textOf(request?.params)).toBe('{"a": [1, 2]}');
  });

  test.each([
    '{}',
    'null',
    ' null ',
    '{ }',
    '{"jsonrpc":null,"id":null,"method":null,"auth":null}',
    '{"unknown":{"id":1}}',
  ])('%s is a request that says nothing', (line) => {
    expect(read(line)).toEqual(nothingSent);
  });

  test.each(['[]', '[{"id":1}]', '123', '"x"', 'true', 'false', '', ' ', '\r', 'nul', 'nulls', 'null null', 'NULL'])(
    'the line <%s> is a parse error',
    (line) => {
      expect(read(line)).toBeUndefined();
    },
  );

  test.each([
    '{not json',
    '{"jsonrpc"',
    '{"a":1',
    '{"a":1}x',
    '{"a":1}{}',
    '{"a":1,}',
    '{,"a":1}',
    '{"a" 1}',
    '{"a":}',
    '{a:1}',
    "{'a':1}",
    '{"a":[1,]}',
    '{"a":[1 2]}',
    '{"a":[}',
    '{"a":{]}',
    '{"a":01}',
    '{"a":-}',
    '{"a":+1}',
    '{"a":1.}',
    '{"a":.5}',
    '{"a":1e}',
    '{"a":NaN}',
    '{"a":tru}',
    '{"a":"\t"}',
    '{"a":"\u0000"}',
    '{"a":"\\x"}',
    '{"a":"\\u12g4"}',
    '{"a":"\\u12"}',
    '{"a":"\\',
    '{"a":"x}',
    '{"a":1 /* note */}',
    '{"a":\u00a01}',
    '\ufeff{"a":1}',
  ])('%s is a parse error', (line) => {
    expect(read(line)).toBeUndefined();
  });

  test.each(['"method":5', '"auth":1', '"jsonrpc":2', '"method":[]', '"auth":{}', '"jsonrpc":true', '"Method":5'])(
    'a wrong type is a parse error, even where the key is repeated rightly: %s',
    (member) => {
      expect(read(`{${member}}`)).toBeUndefined();
      expect(read(`{${member},"method":"a","auth":"a","jsonrpc":"2.0"}`)).toBeUndefined();
    },
  );

  test('params are told from absent params, and null counts as sent', () => {
    expect(read('{"id":1}')?.params).toBeUndefined();
    expect(textOf(read('{"params": null }')?.params)).toBe('null');
    expect(textOf(read('{"params":"x"}')?.params)).toBe('"x"');
    expect(textOf(read('{"params":{"a":1},"params":[2]}')?.params)).toBe('[2]');
  });

  test('nesting of 10,000 is read, one more is a parse error, in every member', () => {
    const arrays = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    const objects = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
    for (const nested of [arrays, objects]) {
      expect(idOf(nested(9_999))).toBe(nested(9_999));
      expect(idOf(nested(10_000))).toBeUndefined();
      for (const key of ['params', 'other']) {
        expect(read(`{"${key}":${nested(9_999)}}`)).toBeDefined();
        expect(read(`{"${key}":${nested(10_000)}}`)).toBeUndefined();
      }
    }
    expect(read('['.repeat(1_000_000))).toBeUndefined();
  });
});

describe('keys', () => {
  test.each([
    '{"JsonRPC":"2.0","ID":7,"Method":"server.ping","AUTH":"T"}',
    '{"j\\u0053onrpc":"2.0","\\u0069d":7,"metho\\u0064":"server.ping","a\\u0075th":"T"}',
    '{"j\u017fonrpc":"2.0","iD":7,"METHOD":"server.ping","Auth":"T"}',
    '{"j\\u017Fonrpc":"2.0","Id":7,"mEtHoD":"server.ping","autH":"T"}',
  ])('match without regard to case: %s', (line) => {
    expect(read(line)).toMatchObject({ idText: '7', jsonrpc: '2.0', method: 'server.ping', auth: Buffer.from('T') });
  });

  test.each(['"\u0131d"', '"\u0130d"', '"i d"', '"id "', '"i"', '"idd"', '""', '"\\u0000id"'])(
    '%s is not id',
    (key) => {
      expect(read(`{${key}:7}`)).toEqual(nothingSent);
    },
  );

  test('the last repeat wins, in whichever case', () => {
    const line =
      '{"jsonrpc":"1.0","JSONRPC":"2.0","id":1,"ID":8,"METHOD":"a","method":"b","auth":"x","Auth":"T","id":{"x":[9]}}';
    expect(read(line)).toMatchObject({ idText: '{"x":[9]}', jsonrpc: '2.0', method: 'b', auth: Buffer.from('T') });
  });

  test('a later null takes back an id, and leaves the texts as they are', () => {
    expect(read('{"id":1,"method":"a.b","auth":"T","id":null,"method":null,"auth":null}')).toMatchObject({
      idText: 'null',
      method: 'a.b',
      auth: Buffer.from('T'),
    });
  });
});

describe('the id that comes back', () => {
  test.each([
    ['1', '1'],
    ['1.0', '1'],
    ['1e2', '100'],
    ['-0', '-0'],
    ['-0.0', '-0'],
    ['0', '0'],
    ['-3', '-3'],
    ['123456789012345', '123456789012345'],
    ['9007199254740991', '9007199254740991'],
    ['9007199254740993', '9007199254740992'],
    ['12345678901234567890', '12345678901234567000'],
    ['1e20', '100000000000000000000'],
    ['1e21', '1e+21'],
    ['0.000001', '0.000001'],
    ['1e-7', '1e-7'],
    ['1e-400', '0'],
    ['-1e-400', '-0'],
    ['1.7976931348623157e308', '1.7976931348623157e+308'],
    ['5e-324', '5e-324'],
    ['"abc"', '"abc"'],
    ['""', '""'],
    ['"\\u0061b"', '"ab"'],
    ['"a<b>&c"', '"a\\u003cb\\u003e\\u0026c"'],
    ['"\\u007f\\/"', '"\u007f/"'],
    ['"\\b\\f\\n\\r\\t\\u0001\\\\\\""', '"\\b\\f\\n\\r\\t\\u0001\\\\\\""'],
    ['"\u2028\\u2029"', '"\\u2028\\u2029"'],
    ['"\\ud800x"', '"\ufffdx"'],
    ['"\\udc00\\ud800"', '"\ufffd\ufffd"'],
    ['"\\ud83d\\ud83d\\ude00"', '"\ufffd😀"'],
    ['"\\\\ud800"', '"\\\\ud800"'],
    ['"é😀\ufffd"', '"é😀\ufffd"'],
    ['{"b":1,"a":2}', '{"a":2,"b":1}'],
    ['{"10":1,"9":2}', '{"10":1,"9":2}'],
    ['{"z":1,"\\u00e9":2}', '{"z":1,"é":2}'],
    ['{"\uffff":1,"😀":2,"\ue000":3,"\ud7ff":4}', '{"\ud7ff":4,"\ue000":3,"\uffff":1,"😀":2}'],
    ['{"ab":1,"a":2,"":3}', '{"":3,"a":2,"ab":1}'],
    ['{"a":1,"b":2,"\\u0061":3}', '{"a":3,"b":2}'],
    ['{"<":1}', '{"\\u003c":1}'],
    ['{"__proto__":1,"constructor":[{"d":1,"c":{}}]}', '{"__proto__":1,"constructor":[{"c":{},"d":1}]}'],
    ['[1.0,"x",null]', '[1,"x",null]'],
    ['[ [ ] , { } , [ 1 , [ 2 ] ] ]', '[[],{},[1,[2]]]'],
    ['[""]', '[""]'],
    ['true', 'true'],
    ['false', 'false'],
    ['null', 'null'],
  ])('%s is echoed as %s', (sent, echoed) => {
    expect(idOf(sent)).toBe(echoed);
  });

  test('an absent id comes back as null', () => {
    expect(read('{"method":"a"}')?.idText).toBe('null');
  });

  test.each([
    '1e400',
    '-1e400',
    '[1,[1e400]]',
    '{"a":{"b":1e400}}',
    '{"a":1e400,"a":1}',
    '1e400,"id":1',
    `1${'0'.repeat(400)}`,
  ])('a number that overflows a double is a parse error: %s', (id) => {
    expect(idOf(id)).toBeUndefined();
  });

  test('such a number is no error outside the id', () => {
    expect(read('{"other":1e400,"params":{"a":1e400}}')).toBeDefined();
  });

  test.each([
    ['\xff\xfe', '\ufffd\ufffd'],
    ['\xe2\x82', '\ufffd\ufffd'],
    ['\xe2\x82x', '\ufffd\ufffdx'],
    ['\xed\xa0\x80', '\ufffd\ufffd\ufffd'],
    ['\xc0\xaf', '\ufffd\ufffd'],
    ['\xf4\x90\x80\x80', '\ufffd\ufffd\ufffd\ufffd'],
    ['\xf0\x9f\x98\x80\xf0\x9f\x98', '😀\ufffd\ufffd\ufffd'],
    ['\xc3\xa9\x80\xe2\x82\xac', 'é\ufffd€'],
    ['\xef\xbf\xbd\xff', '\ufffd\ufffd'],
    ['\xef\xbb\xbfa\xff', '\ufeffa\ufffd'],
  ])('every bad byte of a text becomes one U+FFFD: %j', (sent, echoed) => {
    expect(requestOf(bytes(`{"id":"${sent}"}`))?.idText).toBe(JSON.stringify(echoed));
  });

  test('a key is repaired before it is sorted and compared', () => {
    expect(requestOf(bytes('{"id":{"\xff":1,"a":2,"\xfe":3}}'))?.idText).toBe('{"a":2,"\ufffd":3}');
  });

  test('a long text inside thousands of levels comes back whole', () => {
    const id = `${'[0,'.repeat(9_000)}"${'x'.repeat(900_000)}"${']'.repeat(9_000)}`;
    expect(idOf(id) === id).toBe(true);
  });

  test('any id comes back as the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const text = JSON.stringify(value);
        const echoed = idOf(text);
        expect(echoed === undefined ? undefined : sortedKeys(JSON.parse(echoed))).toEqual(sortedKeys(JSON.parse(text)));
      }),
    );
  });

  test('reading an echoed id again changes nothing', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const once = idOf(JSON.stringify(value));
        expect(once).toBeDefined();
        expect(idOf(once ?? '')).toBe(once);
      }),
    );
  });
});

/** As JSON text, so that -0 and the order of keys are compared as well. */
function sortedKeys(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map(sortedKeys).join()}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${sortedKeys(member)}`).join()}}`;
  }
  return Object.is(value, -0) ? '-0' : JSON.stringify(value);
}

describe('auth', () => {
  test('is the UTF-8 of the decoded text', () => {
    expect(read('{"auth":"T\\u00e9<é"}')?.auth).toEqual(Buffer.from('Té<é'));
  });

  test('with bad bytes never equals a token of those bytes', () => {
    expect(requestOf(bytes('{"auth":"T\xff"}'))?.auth).toEqual(Buffer.from('T\ufffd'));
  });
});

describe('any input', () => {
  test('random bytes are read or refused, and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
        requestOf(Buffer.from(garbage));
        requestOf(Buffer.concat([bytes('{"id":'), garbage, bytes('}')]));
        requestOf(Buffer.concat([bytes('{"id":"'), garbage, bytes('"}')]));
      }),
    );
  });

  test('a line is accepted exactly when JSON.parse accepts its text', () => {
    const piece = fc.constantFrom(...'{}[]",:\\0-9.eE+ua \t\r', 'true', 'null', '\\u00e9', '"a"', '"id":', '1e5', 'é');
    // Few mutations keep most texts close to valid JSON, where the mistakes are.
    const mutations = fc.array(fc.tuple(fc.nat(), fc.boolean(), piece), { maxLength: 3 });
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(fc.json({ stringUnit: 'grapheme' }), mutations, (json, changes) => {
        let text = `{"a":${json},"b":"x"}`;
        for (const [position, removes, insert] of changes) {
          const at = position % (text.length + 1);
          text = text.slice(0, at) + insert + text.slice(at + (removes ? 1 : 0));
        }
        text = text.toWellFormed();
        const isJsonObject = parsesToObject(text);
        expect(read(text) !== undefined).toBe(isJsonObject);
        if (isJsonObject) {
          accepted++;
        } else {
          refused++;
        }
      }),
      { numRuns: 2000 },
    );
    expect(Math.min(accepted, refused)).toBeGreaterThan(100);
  });
});

function parsesToObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return value === null || (typeof value === 'object' && !Array.isArray(value));
  } catch {
    return false;
  }
}
