import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { messageOf, reportOf } from '../../src/base/error-texts.ts';

function refused(): unknown {
  try {
    return readFileSync('/no/such/file');
  } catch (error) {
    return error;
  }
}

test('a fault of ours is reported with its place in the code, a refusal of the host with the call', () => {
  expect(reportOf(new Error('broken'))).toMatch(/^Error: broken\n\s+at /);
  expect(reportOf(refused())).toBe("ENOENT: no such file or directory, open '/no/such/file'");
  expect(reportOf('thrown text')).toBe('thrown text');
});

test('whatever was thrown has a message', () => {
  expect([new Error('broken'), 'text', undefined, 7].map(messageOf)).toEqual(['broken', 'text', 'undefined', '7']);
});
