import fc from 'fast-check';
import { expect, test } from 'vitest';
import { goDuration, goDurationInSeconds, parseDuration } from '../../src/base/durations.ts';

test.each([
  ['300ms', 300],
  ['30s', 30_000],
  ['2m', 120_000],
  ['1h30m', 5_400_000],
  ['1.5h', 5_400_000],
  ['.5s', 500],
  ['1.s', 1000],
  ['100us', 0.1],
  ['100µs', 0.1],
  ['100μs', 0.1],
  ['1500000ns', 1.5],
  ['0.1s0.2s', 300],
  ['-2m', -120_000],
  ['+2m', 120_000],
  ['0', 0],
  ['+0', 0],
  ['-0', 0],
  ['0s', 0],
  ['-0s', 0],
  ['2562047h', 9_223_369_200_000],
])('the text %s is %d ms', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

test.each([
  '',
  '+',
  '-',
  '5',
  '00',
  '0.0',
  '.',
  '.s',
  's',
  '1',
  '1h30',
  '1x',
  '1 s',
  ' 1s',
  '1S',
  '1e3s',
  '--1s',
  '2562048h',
  '1.2.3s',
])('the text %j is no duration', (text) => {
  expect(parseDuration(text)).toBe(undefined);
});

test('a sum of terms is the sum of their durations, whatever the order', () => {
  const unit = fc.constantFrom(['ms', 1], ['s', 1000], ['m', 60_000], ['h', 3_600_000]) as fc.Arbitrary<
    [string, number]
  >;
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(9999), unit), { minLength: 1, maxLength: 8 }), (terms) => {
      const text = terms.map(([count, [name]]) => `${count}${name}`).join('');
      expect(parseDuration(text)).toBe(terms.reduce((sum, [count, [, ms]]) => sum + count * ms, 0));
    }),
  );
});

test.each([
  [0, '0s'],
  [0.000_25, '250ns'],
  [0.1, '100µs'],
  [300, '300ms'],
  [999.999, '999.999ms'],
  [1_000, '1s'],
  [1_500, '1.5s'],
  [59_999.999_9, '59.9999999s'],
  [60_000, '1m0s'],
  [90_500, '1m30.5s'],
  [300_000, '5m0s'],
  [660_000, '11m0s'],
  [3_600_000, '1h0m0s'],
  [86_461_001, '24h1m1.001s'],
])('%d ms read %s', (ms, text) => {
  expect(goDuration(ms)).toBe(text);
});

test('what is printed is read again as the same duration', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 40), (microseconds) => {
      const text = goDuration(microseconds / 1_000);
      expect(parseDuration(text)).toBe(microseconds / 1_000);
    }),
  );
});

test('a measured time is told in whole seconds', () => {
  expect(goDurationInSeconds(600_012.3)).toBe('10m0s');
  expect(goDurationInSeconds(499)).toBe('0s');
});
