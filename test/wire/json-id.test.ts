/** Ids come back decoded and written again (spec wire.md §4.4): against JSON.parse and a naive writer, for ids of every shape. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { atOnce } from '../../platform/steps.ts';
import { readRequest } from '../../src/wire/json-reader.ts';
import { encodeString } from '../../src/wire/json-writer.ts';
import { decodeUtf8 } from '../../src/wire/utf8.ts';

function echoed(id: Buffer | string): string | undefined {
  const line = Buffer.concat([Buffer.from('{"method":"m","id":'), Buffer.from(id), Buffer.from('}')]);
  return atOnce(readRequest(line))?.idText;
}

/**
 * By the words of the specification, whatever it costs. Only scalars go through JSON.parse: V8 of Node.js 24 takes the name
 * `"\""` for a backslash where an object before had that name.
 */
function expected(id: Buffer): string | undefined {
  const text = decodeUtf8(id, 0, id.length, 'replacement');
  const tokens = (text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? []).reverse();
  try {
    return written(tokens);
  } catch {
    return undefined;
  }
}

/** @param tokens the next last; those of one value are taken away */
function written(tokens: string[]): string {
  const first = tokens.pop();
  if (first === '[' || first === '{') {
    const elements: string[] = [];
    const members = new Map<string, string>();
    for (let next = tokens.pop(); next !== ']' && next !== '}'; next = tokens.pop()) {
      if (next !== undefined && next !== ',') {
        tokens.push(next);
      }
      if (first === '[') {
        elements.push(written(tokens));
      } else {
        const name = (JSON.parse(String(tokens.pop())) as string).toWellFormed();
        tokens.pop();
        members.set(name, written(tokens));
      }
    }
    const sorted = [...members].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const texts = sorted.map(([name, member]) => `${encodeString(name)}:${member}`);
    return first === '[' ? `[${elements.join(',')}]` : `{${texts.join(',')}}`;
  }
  const value: unknown = JSON.parse(String(first));
  if (typeof value === 'string') {
    return encodeString(value.toWellFormed());
  }
  if (typeof value !== 'number') {
    return String(value);
  }
  if (!Number.isFinite(value)) {
    throw new RangeError('overflows');
  }
  return Object.is(value, -0) ? '-0' : String(value);
}

const character = fc.constantFrom(
  ...['a', 'b', '0', '<', '&', '\u007f', 'é', '\u2028', '\ue000', '\uffff', '😀', 'aaaaaaaaaaaaaaaa', '\ufffd'],
  ...[
    '\\/',
    '\\n',
    '\\"',
    '\\\\',
    '\\u0000',
    '\\u001F',
    '\\u0061',
    '\\u00e9',
    '\\u2029',
    '\\ud83d',
    '\\uDE00',
    '\\ud83d\\ude00',
  ],
);
const stringText = fc.array(character, { maxLength: 6 }).map((parts) => `"${parts.join('')}"`);
const digits = (maxLength: number) =>
  fc.array(fc.constantFrom(...'0000123456789'), { minLength: 1, maxLength }).map((all) => all.join(''));
const numberText = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(
      fc.constant('0'),
      digits(22).map((text) => `1${text}`),
    ),
    fc.oneof(
      fc.constant(''),
      digits(24).map((text) => `.${text}`),
    ),
    fc.oneof(
      fc.constant(''),
      fc.integer({ min: -30, max: 30 }).map((e) => `e${e}`),
      fc.integer({ min: -400, max: 400 }).map((e) => `E${e}`),
    ),
  )
  .map((parts) => parts.join(''));
const space = fc.constantFrom('', '', ' ', '\t ');
const { id: idText } = fc.letrec<{ id: string }>((tie) => ({
  id: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('true', 'false', 'null', '{}', '[]'),
    numberText,
    stringText,
    fc
      .array(
        fc.tuple(space, tie('id'), space).map((parts) => parts.join('')),
        { maxLength: 5 },
      )
      .map((all) => `[${all.join(',')}]`),
    fc
      .array(
        fc.tuple(stringText, space, tie('id')).map(([name, gap, value]) => `${name}${gap}:${gap}${value}`),
        { maxLength: 30 },
      )
      .map((all) => `{${all.join(',')}}`),
  ),
}));

function comesBack(text: string): void {
  expect(echoed(text)).toBe(expected(Buffer.from(text)));
}

test('ids of every shape come back as the specification spells them', () => {
  fc.assert(fc.property(idText, comesBack), { numRuns: 3000 });
});

test('numbers of every spelling come back as the nearest double', () => {
  fc.assert(fc.property(numberText, comesBack), { numRuns: 5000 });
});

test('long strings come back, whatever stands where a step of them ends', () => {
  fc.assert(
    fc.property(character, character, fc.integer({ min: 32_755, max: 32_770 }), (first, second, count) => {
      comesBack(`"${'x'.repeat(count)}${first}${second}${first.repeat(12_000)}"`);
      comesBack(`["\\n${'x'.repeat(count)}${second}${first}${second.repeat(12_000)}"]`);
    }),
    { numRuns: 60 },
  );
});

test('bytes that are not UTF-8 come back as one U+FFFD each, in names and values', () => {
  const bytes = fc
    .uint8Array({ maxLength: 12 })
    .map((all) => Buffer.from(all.map((byte) => (byte < 0x60 ? 0xe2 : byte))));
  const quoted = (text: Buffer) =>
    Buffer.concat([Buffer.from('"'), Buffer.from(text.filter((byte) => byte !== 0x5c)), Buffer.from('"')]);
  fc.assert(
    fc.property(bytes, bytes, (name, value) => {
      const id = Buffer.concat([Buffer.from('{'), quoted(name), Buffer.from(':'), quoted(value), Buffer.from('}')]);
      expect(echoed(id)).toBe(expected(id));
    }),
  );
});

describe('objects with many members come back in the order of their names', () => {
  const many = 3000;
  const names: Readonly<Record<string, (index: number) => string>> = {
    counted: (index) => `k${index}`,
    'from the last to the first': (index) => String(many - index),
    'that share a long beginning': (index) => `${'long '.repeat(20)}${(index * 7919) % many}`,
    'that are the beginning of the next': (index) => 'b'.repeat((index * 13) % 50),
    'that differ in their zeros only': (index) => `a${'\\u0000'.repeat((index * 7) % 9)}`,
    'all the same': () => 'one',
    'without a letter': () => '',
  };
  test.each(Object.entries(names))('%s', (_, name) => {
    const text = `{${Array.from({ length: many }, (_, index) => `"${name(index)}":${index}`).join(',')}}`;
    const inside = `{"b":[${text},1],"a":${text}}`;
    expect(echoed(text)).toBe(expected(Buffer.from(text)));
    expect(echoed(inside)).toBe(expected(Buffer.from(inside)));
  });
});

test('objects in objects come back in order, whether they are moved at once or at the end', () => {
  const { object } = fc.letrec<{ object: string }>((tie) => ({
    object: fc
      .array(
        fc.tuple(
          fc.constantFrom('', 'a', 'b', 'c', 'dd'),
          fc.oneof(
            { depthSize: 'medium', withCrossShrink: true },
            fc.integer({ min: 0, max: 40 }).map((length) => `"${'x'.repeat(length)}"`),
            tie('object'),
            tie('object').map((inner) => `[${inner},${inner}]`),
          ),
        ),
        { maxLength: 4 },
      )
      .map((members) => `{${members.map(([name, value]) => `"${name}":${value}`).join(',')}}`),
  }));
  fc.assert(fc.property(object, comesBack), { numRuns: 2000 });
  // Of so many small ones that lie in each other each is moved by itself.
  for (let depth = 1; depth < 12; depth++) {
    comesBack(`${'{"b":'.repeat(depth)}1${',"a":2,"b":3}'.repeat(depth)}`);
  }
});

test('an id that was long leaves nothing for the next one', () => {
  const long = `{"b":"${'\\n'.repeat(100_000)}","a":1}`;
  expect(echoed(long)).toBe(expected(Buffer.from(long)));
  expect(echoed('{"b":1.0,"a":"<"}')).toBe('{"a":"\\u003c","b":1}');
});

test('an id that is read in steps is not disturbed by those that are read in between', () => {
  const long = `[${'{"b":[1.0,"\\n"],"a":{"d":1,"c":{}}},'.repeat(500)}0]`;
  const between = ['{"z":{"y":1,"x":2},"a":[1e2]}', long, '"\\u00e9"'];
  const steps = readRequest(Buffer.from(`{"id":${long}}`));
  let count = 0;
  let step = steps.next();
  for (; step.done !== true; step = steps.next()) {
    comesBack(between[count++ % between.length] ?? '');
  }
  expect(step.value?.idText).toBe(expected(Buffer.from(long)));
  expect(count).toBeGreaterThan(10);
});
