import { posix, win32 } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { targetOf } from '../../src/files/entry-name.ts';
import { platform } from './support.ts';

const parts = fc.constantFrom('', '.', '..', '...', 'a', 'out', 'b', '\\', '..\\', 'é', ' ');
const names = fc.array(parts, { maxLength: 12 }).map((list) => list.join('/'));
const destinations = fc.constantFrom('/out', '/x/out', '/x/y/z', '/a');

const resolved = (name: string, destination: string, rule: 'prefix' | 'local') =>
  targetOf(Buffer.from(name), destination, rule, platform.files)
    ?.map((part) => part.toString())
    .join('/');

test('no name leads out of the destination, and none that stays inside is refused', () => {
  fc.assert(
    fc.property(names, destinations, (name, destination) => {
      const whole = posix.resolve(`${destination}/${name}`);
      const inside = whole === destination || whole.startsWith(`${destination}/`);
      const expected = inside ? whole.slice(destination.length + 1) : undefined;
      expect(resolved(name, destination, 'prefix')).toBe(expected);
    }),
    { numRuns: 2000 },
  );
});

test('in N+ a name may not climb above its own start, wherever the destination is', () => {
  fc.assert(
    fc.property(names, destinations, (name, destination) => {
      const own = posix.normalize(name.replace(/^\/+/, '') || '.').replace(/\/$/, '');
      const expected = own === '..' || own.startsWith('../') ? undefined : own === '.' ? '' : own;
      expect(resolved(name, destination, 'local')).toBe(expected);
    }),
    { numRuns: 2000 },
  );
});

test('on Windows both separators count and names of devices are refused in N+', () => {
  // The rules of the operating system, which its adapter tells; the walk over the parts is the same.
  const windows = {
    splitEntryName: (name: Buffer) =>
      name
        .toString()
        .split(/[/\\]/)
        .map((part) => Buffer.from(part)),
    isReservedName: (part: Buffer) => part.toString() === 'NUL',
  };
  const target = (name: string, rule: 'prefix' | 'local') =>
    targetOf(Buffer.from(name), win32.normalize('C:/out'), rule, windows)?.map(String);
  expect(target('..\\x', 'prefix')).toBeUndefined();
  expect(target('a\\..\\b', 'prefix')).toEqual(['b']);
  expect(target('..\\out\\b', 'prefix')).toEqual(['b']);
  expect(target('a\\..\\..\\b', 'local')).toBeUndefined();
  expect(target('\\a\\b', 'local')).toEqual(['a', 'b']);
  expect(target('a/NUL/b', 'local')).toBeUndefined();
  expect(target('NUL/../b', 'local')).toBeUndefined();
  expect(target('NUL', 'prefix')).toEqual(['NUL']);
});
