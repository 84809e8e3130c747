/** Long work lets others have their turns (src/base/take-turns.ts). */
import { expect, test } from 'vitest';
import { sortInTurns } from '../../src/base/take-turns.ts';

test('a long list is sorted as any other, equal ones in their order', async () => {
  const items = Array.from({ length: 10_000 }, (_, index) => ({ key: (index * 7919) % 1_000, index }));
  const compare = (a: { key: number }, b: { key: number }) => a.key - b.key;
  expect(await sortInTurns(items, compare)).toEqual(items.toSorted(compare));
  expect(await sortInTurns([], compare)).toEqual([]);
});

test('others have their turns while a list is sorted that takes long', async () => {
  let turns = 0;
  let sorting = true;
  const count = (): void => {
    turns++;
    if (sorting) {
      setImmediate(count);
    }
  };
  setImmediate(count);
  const items = Array.from({ length: 60_000 }, (_, index) => (index * 7919) % 60_000);
  const sorted = await sortInTurns(items, (a, b) => {
    const wait = a * b;
    return a - b + 0 * Math.sqrt(wait) * [...'slow'].length;
  });
  sorting = false;
  expect(sorted).toEqual(items.toSorted((a, b) => a - b));
  expect(turns).toBeGreaterThan(2);
});
