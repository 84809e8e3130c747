import { expect, test } from 'vitest';
import { EndRequest } from '../../src/base/end-request.ts';

test('the first to ask is announced and begins the end; later ones change nothing', async () => {
  const seen: string[] = [];
  const end = new EndRequest();
  const over = end.whenAsked(async () => {
    seen.push('end');
  });
  expect(seen).toEqual([]);
  end.ask(() => seen.push('first'));
  end.ask(() => seen.push('second'));
  expect(seen).toEqual(['first', 'end']);
  await over;
  end.ask(() => seen.push('third'));
  expect(seen).toEqual(['first', 'end']);
});

test('whoever asks during the start is announced at once, and the end begins when the start is complete', async () => {
  const seen: string[] = [];
  const end = new EndRequest();
  end.ask(() => seen.push('asked'));
  expect(seen).toEqual(['asked']);
  await end.whenAsked(async () => {
    seen.push('end');
  });
  expect(seen).toEqual(['asked', 'end']);
});

test('an end that fails is known to whoever waits for it', async () => {
  const end = new EndRequest();
  end.ask();
  await expect(end.whenAsked(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
});
