import { describe, expect, test } from 'vitest';
import { createUndoStack, failuresOf } from '../../src/base/undo-stack.ts';

const stacks: [string, () => ReturnType<typeof createUndoStack>][] = [['our own', () => createUndoStack(true)]];
if (typeof globalThis.AsyncDisposableStack !== 'undefined') {
  stacks.push(['the one of the language', () => createUndoStack(false)]);
}

describe.each(stacks)('%s', (_, create) => {
  test('undoes the latest first, waits for each step, and undoes nothing twice', async () => {
    const seen: string[] = [];
    const undo = create();
    undo.defer(() => void seen.push('first'));
    expect(undo.use(undefined)).toBe(undefined);
    const used = undo.use({ [Symbol.dispose]: () => void seen.push('disposed') });
    expect(used).toBeTypeOf('object');
    undo.use({
      async [Symbol.asyncDispose]() {
        await new Promise((resolve) => setImmediate(resolve));
        seen.push('disposed later');
      },
    });
    await undo.disposeAsync();
    await undo.disposeAsync();
    expect(seen).toEqual(['disposed later', 'disposed', 'first']);
  });

  test('a step that fails does not skip the others, and every failure is told in order', async () => {
    const seen: string[] = [];
    const undo = create();
    undo.defer(() => {
      throw new Error('last');
    });
    undo.defer(() => void seen.push('middle'));
    undo.defer(() => Promise.reject(new Error('second')));
    undo.defer(() => {
      throw new Error('first');
    });
    const thrown = await undo.disposeAsync().catch((error: unknown) => error);
    expect(seen).toEqual(['middle']);
    expect(failuresOf(thrown).map(String)).toEqual(['Error: first', 'Error: second', 'Error: last']);
  });
});

test('a single failure is told as it is', () => {
  const error = new Error('only');
  expect(failuresOf(error)).toEqual([error]);
});
