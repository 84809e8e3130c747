import { expect, test } from 'vitest';
import { KeyedQueue } from '../../src/base/keyed-queue.ts';

test('work of one key runs one after the other in the order it was given', async () => {
  const queue = new KeyedQueue();
  const seen: string[] = [];
  const slow = Promise.withResolvers<void>();
  const first = queue.run('a', async () => {
    seen.push('first begins');
    await slow.promise;
    seen.push('first ends');
  });
  const second = queue.run('a', () => {
    seen.push('second');
    return 2;
  });
  const third = queue.run('a', async () => seen.push('third'));
  await queue.run('b', () => seen.push('other key'));
  expect(seen).toEqual(['first begins', 'other key']);
  slow.resolve();
  await expect(second).resolves.toBe(2);
  await Promise.all([first, third]);
  expect(seen).toEqual(['first begins', 'other key', 'first ends', 'second', 'third']);
});

test('work that fails, later or at once, tells only whoever gave it, and the next runs', async () => {
  const queue = new KeyedQueue();
  const failed = queue.run('a', async () => {
    throw new Error('late');
  });
  const threw = queue.run('a', () => {
    throw new Error('at once');
  });
  const next = queue.run('a', () => 'done');
  await expect(failed).rejects.toThrow('late');
  await expect(threw).rejects.toThrow('at once');
  await expect(next).resolves.toBe('done');
});

test('work given by a piece of work of the same key comes after it and does not block itself', async () => {
  const queue = new KeyedQueue();
  const seen: string[] = [];
  let inner: Promise<unknown> | undefined;
  await queue.run('a', () => {
    inner = queue.run('a', () => seen.push('inner'));
    seen.push('outer');
  });
  await inner;
  expect(seen).toEqual(['outer', 'inner']);
});

test('a key whose work is done takes no memory', async () => {
  const queue = new KeyedQueue();
  const work = Array.from({ length: 100 }, (_, index) =>
    queue.run(`key ${index % 10}`, () => {
      if (index % 3 === 0) {
        throw new Error('failed');
      }
    }),
  );
  expect(queue.size).toBe(10);
  await Promise.allSettled(work);
  expect(queue.size).toBe(0);
});
