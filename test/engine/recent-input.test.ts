/** What the engine keeps of the last input of a process, and what it counts for it. */
import { expect, test } from 'vitest';
import { RecentInput } from '../../src/engine/local/recent-input.ts';

class Budget {
  held = 0;
  take(bytes: number): void {
    this.held += bytes;
  }
  give(bytes: number): void {
    this.held -= bytes;
  }
}

const text = (kept: readonly string[]): string[] => kept.map((part) => Buffer.from(part, 'base64').toString());

test('requests are kept whole, the newest last, and given back when the process has ended', () => {
  const budget = new Budget();
  const input = new RecentInput(budget);
  const bytes = Buffer.from('first');
  input.add(bytes, { offset: 0 }, 1);
  bytes.fill('x');
  input.add(Buffer.from('second'), { offset: 5 }, 3);
  expect(input.pieces.map(({ seq, offset, length, kept }) => [seq, offset, length, ...text(kept)])).toEqual([
    [1, 0, 5, 'first'],
    [3, 5, 6, 'second'],
  ]);
  expect(budget.held).toBe(11);
  input.clear();
  expect([input.pieces, budget.held]).toEqual([[], 0]);
});

test('of a long one the beginning and the end are kept, and of many the last', () => {
  const budget = new Budget();
  const input = new RecentInput(budget);
  input.add(Buffer.from(`a${'-'.repeat(1_000_000)}z`), { offset: 0 }, 1);
  const [long] = input.pieces;
  const [head = '', tail = ''] = text(long?.kept ?? []);
  expect([head.length, head[0], tail.length, tail.at(-1)]).toEqual([8192, 'a', 8192, 'z']);
  for (let index = 0; index < 1_000; index++) {
    input.add(Buffer.from('line\n'), { offset: index }, index);
  }
  expect(input.pieces).toHaveLength(64);
  expect(budget.held).toBe(64 * 5);
  for (let index = 0; index < 10; index++) {
    input.add(Buffer.alloc(100_000), { offset: index }, index);
  }
  expect(budget.held).toBe(64 * 1024);
});
