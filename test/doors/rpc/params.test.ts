import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { atOnce } from '../../../platform/steps.ts';
import { RpcError } from '../../../src/doors/rpc/errors.ts';
import { defineMethod } from '../../../src/doors/rpc/methods/method.ts';
import {
  bool,
  int64,
  type Mistyped,
  noParams,
  object,
  type ReadingSchema,
  string,
  stringArray,
  stringMap,
  uint64,
} from '../../../src/doors/rpc/params.ts';
import { readRequest } from '../../../src/wire/json-reader.ts';

const fields = {
  id: string(),
  args: stringArray(),
  env: stringMap(),
  timeoutMs: int64(),
  offset: uint64(),
  wantPid: bool(),
};
const schema = object(fields);

const requestOf = (line: string, encoding: BufferEncoding = 'utf8') => atOnce(readRequest(Buffer.from(line, encoding)));
const sliceOf = (params: string) => requestOf(`{"params": ${params} }`, 'latin1')?.params;
const read = (params: string) => atOnce(schema.read(sliceOf(params)));

/** The refusal of these params, `undefined` when they are accepted. */
function refusal<T>(params: string | undefined, of: ReadingSchema<T> | typeof schema = schema): RpcError | undefined {
  try {
    atOnce<unknown>(of.read(params === undefined ? undefined : sliceOf(params)));
    return undefined;
  } catch (error) {
    if (error instanceof RpcError) {
      return error;
    }
    throw error;
  }
}

const nothing = {
  id: undefined,
  args: undefined,
  env: undefined,
  timeoutMs: undefined,
  offset: undefined,
  wantPid: undefined,
};

test('each member has the type it is declared with', () => {
  expectTypeOf(schema).toEqualTypeOf<
    ReadingSchema<{
      readonly id: string | undefined;
      readonly args: string[] | undefined;
      readonly env: Map<string, string> | undefined;
      readonly timeoutMs: bigint | undefined;
      readonly offset: bigint | undefined;
      readonly wantPid: boolean | undefined;
    }>
  >();
  expect(
    read('{"id":"p","args":["a"],"env":{"A":"1"},"timeoutMs":-5,"offset":6,"wantPid":true,"more":[{"id":1}]}'),
  ).toEqual({ id: 'p', args: ['a'], env: new Map([['A', '1']]), timeoutMs: -5n, offset: 6n, wantPid: true });
});

describe('params as a whole', () => {
  test('absent params are refused with Invalid params', () => {
    expect(refusal(undefined)).toMatchObject({ code: -32602, message: 'Invalid params' });
  });

  test.each(['{}', 'null', '{ }'])('%s is accepted and gives nothing', (params) => {
    expect(read(params)).toEqual(nothing);
  });

  test.each(['"x"', '5', '-1', '[]', '[1,"a"]', '[{}]', 'true', 'false'])('%s is refused', (params) => {
    expect(refusal(params)).toMatchObject({ code: -32602, message: 'Invalid params' });
  });

  test('a method that never looks at its params takes anything', () => {
    const ping = defineMethod({ name: 'server.ping', params: noParams, run: () => ({ pong: true }) });
    const call = { services: undefined, client: undefined as never };
    for (const params of [sliceOf('"x"'), undefined]) {
      const start = ping.read(params, undefined);
      expect(typeof start === 'function' && start(call)).toEqual({ pong: true });
    }
  });
});

const accepted: ReadonlyArray<readonly [member: keyof typeof fields, literal: string, value: unknown]> = [
  ['id', '"x"', 'x'],
  ['id', '""', ''],
  ['id', '"\\ud83d\\ude00\\ud800"', '😀\ufffd'],
  ['id', '"\xe2\x82"', '\ufffd\ufffd'],
  ['wantPid', 'true', true],
  ['wantPid', 'false', false],
  ['timeoutMs', '0', 0n],
  ['timeoutMs', '-0', 0n],
  ['timeoutMs', '9007199254740993', 9007199254740993n],
  ['timeoutMs', '-9223372036854775808', -9223372036854775808n],
  ['timeoutMs', '9223372036854775807', 9223372036854775807n],
  ['offset', '0', 0n],
  ['offset', '18446744073709551615', 18446744073709551615n],
  ['args', '[]', []],
  ['args', '[ "a" , null,"\\n"]', ['a', '', '\n']],
  ['env', '{}', new Map()],
  [
    'env',
    '{ "A" : "1" , "B":null}',
    new Map([
      ['A', '1'],
      ['B', ''],
    ]),
  ],
];

const refused: ReadonlyArray<readonly [member: keyof typeof fields, literals: readonly string[]]> = [
  ['id', ['1', 'true', 'false', '[]', '["a"]', '{}']],
  ['wantPid', ['1', '0', '"true"', '"yes"', '[]', '{}']],
  [
    'timeoutMs',
    [
      '1.0',
      '1e2',
      '1E2',
      '1.5',
      '-1.0',
      '9223372036854775808',
      '-9223372036854775809',
      '"1"',
      'true',
      '[]',
      '{}',
      '1'.repeat(100_000),
    ],
  ],
  ['offset', ['-1', '-0', '1.0', '1e2', '18446744073709551616', '"0"', 'false', '[]', '{}', `-${'1'.repeat(18)}`]],
  ['args', ['"x"', '1', 'true', '{}', '["a",1]', '[["a"]]', '[{}]', '[true]', '[null,false]']],
  ['env', ['"x"', '1', 'true', '[]', '["A=b"]', '{"A":1}', '{"A":true}', '{"A":["x"]}', '{"A":{}}']],
];

describe('declared types', () => {
  test.each(accepted)('%s takes %s', (member, literal, value) => {
    expect(read(`{"before":[1],"${member}":${literal} ,"after":{}}`)).toEqual({ ...nothing, [member]: value });
  });

  test.each(refused.flatMap(([member, literals]) => literals.map((literal) => [member, literal] as const)))(
    '%s refuses %s, also where the member is repeated rightly',
    (member, literal) => {
      expect(refusal(`{"${member}":${literal}}`)).toMatchObject({ code: -32602, message: 'Invalid params' });
      const good = accepted.find(([name]) => name === member)?.[1];
      expect(refusal(`{"${member}":${literal},"${member}":${good}}`)).toBeDefined();
    },
  );

  test.each(Object.keys(fields))('%s given as null counts as absent', (member) => {
    expect(read(`{"${member}":null}`)).toEqual(nothing);
  });

  test('a list that ends the params, or is empty at their end, is read whole', () => {
    expect(read('{"env":{}}').env).toEqual(new Map());
    expect(read('{"args":[],"id":"x"}')).toMatchObject({ args: [], id: 'x' });
    expect(read('{"env":{"a":"b"},"id":"x"}')).toMatchObject({ env: new Map([['a', 'b']]), id: 'x' });
  });

  test('the environment keeps the order in which its keys came first, and the last value of each', () => {
    const env = read('{"env":{"Z":"1","10":"2","A":"3","z":"4","Z":"5","__proto__":"6","\\u0041":null}}').env;
    expect([...(env ?? [])]).toEqual([
      ['Z', '5'],
      ['10', '2'],
      ['A', ''],
      ['z', '4'],
      ['__proto__', '6'],
    ]);
  });
});

describe('member names', () => {
  test.each(['ID', 'Id', '\\u0049d'])('%s is id', (name) => {
    expect(read(`{"${name}":"x"}`).id).toBe('x');
  });

  test('the folds of ſ and K count', () => {
    expect(atOnce(schema.read(requestOf('{"params":{"timeoutMſ":7,"argſ":["a"]}}')?.params))).toMatchObject({
      timeoutMs: 7n,
      args: ['a'],
    });
    const keep = object({ keep: string() });
    expect(atOnce(keep.read(requestOf('{"params":{"\u212aeep":"x"}}')?.params)).keep).toBe('x');
  });

  test('the last repeat wins, whatever its case', () => {
    expect(read('{"id":"a","ID":"b","args":["x","y"],"args":["z"],"timeoutMs":1,"TimeoutMs":2}')).toMatchObject({
      id: 'b',
      args: ['z'],
      timeoutMs: 2n,
    });
  });

  test('a later null leaves a text or int, and takes anything else back', () => {
    const sent = '"id":"a","timeoutMs":1,"offset":1,"args":["a"],"env":{"A":"1"},"wantPid":true';
    const nulls = '"id":null,"timeoutMs":null,"offset":null,"args":null,"env":null,"wantPid":null';
    expect(read(`{${sent},${nulls}}`)).toEqual({ ...nothing, id: 'a', timeoutMs: 1n });
  });

  test('a name that every object has is no member', () => {
    expect(read('{"__proto__":{"id":"x"},"constructor":1,"toString":2}')).toEqual(nothing);
  });
});

describe('a schema with refusals of its own', () => {
  const told: Mistyped[] = [];
  const prune = object(
    { minAgeDays: int64(), keep: stringArray() },
    {
      whenAbsent: 'empty',
      refusal(mistyped) {
        told.push(mistyped);
        return new RpcError('invalidParams', 'its own text');
      },
    },
  );

  test('may take absent params as empty ones', () => {
    expect(atOnce(prune.read(undefined))).toEqual({ minAgeDays: undefined, keep: undefined });
  });

  test.each([
    ['"x"', { member: undefined, inside: false, found: 'string', numberText: '' }],
    ['[]', { member: undefined, inside: false, found: 'array', numberText: '' }],
    ['true', { member: undefined, inside: false, found: 'bool', numberText: '' }],
    ['7', { member: undefined, inside: false, found: 'number', numberText: '7' }],
    ['{"minAgeDays":"7"}', { member: 'minAgeDays', inside: false, found: 'string', numberText: '' }],
    ['{"minAgeDays":7.5}', { member: 'minAgeDays', inside: false, found: 'number', numberText: '7.5' }],
    ['{"minAgeDays":-1e2}', { member: 'minAgeDays', inside: false, found: 'number', numberText: '-1e2' }],
    ['{"MinAgeDays":{}}', { member: 'minAgeDays', inside: false, found: 'object', numberText: '' }],
    ['{"keep":5}', { member: 'keep', inside: false, found: 'number', numberText: '5' }],
    ['{"keep":["a",false]}', { member: 'keep', inside: true, found: 'bool', numberText: '' }],
    ['{"keep":[5],"minAgeDays":"x"}', { member: 'keep', inside: true, found: 'number', numberText: '5' }],
  ])('is told what stands where: %s', (params, mistyped) => {
    told.length = 0;
    expect(refusal(params, prune)?.message).toBe('its own text');
    expect(told).toEqual([mistyped]);
  });
});

test('any JSON as params is read or refused with Invalid params, never anything else', () => {
  const value = fc.oneof(
    fc.json({ maxDepth: 2 }),
    fc.constantFrom('null', '1', '-1', '"x"', '["a",null]', '{"A":"1"}', 'true', '1.0', '{}', '[]'),
  );
  const name = fc.oneof(fc.constantFrom(...Object.keys(fields)), fc.string());
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value)), value, (members, other) => {
      for (const params of [`{${members.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join()}}`, other]) {
        const slice = requestOf(`{"params":${params}}`)?.params;
        try {
          atOnce(schema.read(slice));
        } catch (error) {
          expect(error).toMatchObject({ code: -32602, message: 'Invalid params' });
        }
      }
    }),
  );
});
