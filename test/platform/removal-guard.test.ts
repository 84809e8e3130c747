/** The home folder, what contains it, and roots stay, whatever spelling they come in (register entry D2): the rule, as Windows has it. */
import { describe, expect, test } from 'vitest';
import { whyKept } from '../../platform/common/removal-guard.ts';
import type { Paths } from '../../platform/paths.ts';
import * as windows from '../../platform/win32/path-spelling.ts';
import { lookThrough } from './folding-files.ts';

describe('Windows', () => {
  const paths = windows as unknown as Paths;
  const home = String.raw`C:\Users\Anna of the North`;
  const folders = ['c:\\', String.raw`c:\users`, String.raw`c:\users\anna of the north`];

  /** What this Windows has: short names, a drive made of a folder, a junction, and shares of itself. */
  function canonical(path: string): string | undefined {
    let at = windows.clean(path).toLowerCase();
    for (const [spelled, real] of [
      [/^\\\\(?:localhost|127\.0\.0\.1|box|\[::1\])\\c\$(?=\\|$)/, 'c:'],
      [/^q:(?=\\)/, String.raw`c:\users`],
      [/^c:\\everybody(?=\\)/, String.raw`c:\users`],
      [/\\users~1(?=\\|$)/, String.raw`\users`],
      [/\\annaof~1(?=\\|$)/, String.raw`\anna of the north`],
    ] as const) {
      at = at.replace(spelled, real);
    }
    at = windows.clean(at.length === 2 ? `${at}\\` : at);
    return [...folders, String.raw`c:\users\anna of the north\work`, String.raw`c:\temp`].includes(at) ? at : undefined;
  }

  const guarded = [
    String.raw`C:\Users\Anna of the North`,
    String.raw`C:\Users`,
    'C:\\',
    String.raw`C:\USERS~1\ANNAOF~1`,
    String.raw`C:\Users\ANNAOF~1`,
    String.raw`C:\USERS~1`,
    String.raw`\\localhost\c$\Users\Anna of the North`,
    String.raw`\\127.0.0.1\C$\Users\annaof~1`,
    String.raw`\\box\c$\Users`,
    '\\\\box\\c$\\',
    String.raw`\\[::1]\c$\users~1\Anna of the North`,
    String.raw`Q:\Anna of the North`,
    'Q:\\',
    String.raw`C:\everybody\Anna of the North`,
    String.raw`C:\everybody\annaof~1`,
  ];
  /** Other ways to write one path. */
  const ways: readonly ((path: string) => string)[] = [
    (path) => path,
    (path) => path.toUpperCase(),
    (path) => path.toLowerCase(),
    (path) => path.replaceAll('\\', '/'),
    (path) => `${path}\\`,
    (path) => `${path}\\.`,
    (path) => `${path}\\x\\..`,
    (path) => `${path}.`,
    (path) => `${path} `,
    (path) => `${path}. .`,
    (path) => `${path}::$INDEX_ALLOCATION`,
    (path) => (path.startsWith('\\\\') ? `\\\\?\\UNC${path.slice(1)}` : `\\\\?\\${path}`),
    (path) => (path.startsWith('\\\\') ? `\\\\.\\UNC${path.slice(1)}` : `\\\\.\\${path}`),
    (path) => (path.startsWith('\\\\') ? `//?/UNC${path.slice(1)}` : `//?/${path}`),
    (path) => (path.startsWith('\\\\') ? `\\??\\UNC${path.slice(1)}` : `\\??\\${path}`),
    (path) => (path.startsWith('\\\\') ? path : `\\\\?\\GLOBALROOT\\Device\\HarddiskVolume3${path.slice(2)}`),
  ];
  const spellings = [...new Set(guarded.flatMap((path) => ways.map((way) => way(path))))];

  test('none of 200 spellings of the home folder, of what contains it, or of a root passes', async () => {
    expect(spellings.length).toBeGreaterThanOrEqual(200);
    const look = lookThrough(canonical);
    const passed: string[] = [];
    for (const path of spellings) {
      // A share that is not this host's has a root of its own; without a folder there is nothing to remove.
      if ((await whyKept(path, { paths, host: { home: () => home }, look })) === undefined) {
        passed.push(path);
      }
    }
    expect(passed).toEqual([]);
  });

  test.each([
    String.raw`C:\Users\Anna of the North\work`,
    String.raw`C:\USERS~1\ANNAOF~1\work`,
    String.raw`\\localhost\c$\temp`,
    String.raw`C:\temp`,
    String.raw`C:\Users\Anna of the North 2`,
    String.raw`C:\Users\Anna`,
  ])('%s may be removed', async (path) => {
    expect(await whyKept(path, { paths, host: { home: () => home }, look: lookThrough(canonical) })).toBeUndefined();
  });

  test('the reason is told: a spelling, a root, the home folder', async () => {
    const places = { paths, host: { home: () => home }, look: lookThrough(canonical) };
    expect(await whyKept(String.raw`\\?\C:\temp`, places)).toBe('spelling');
    expect(await whyKept('D:\\', places)).toBe('root');
    expect(await whyKept(String.raw`\\localhost\c$\Users`, places)).toBe('home');
    expect(await whyKept('C:\\', { ...places, host: { home: () => undefined } })).toBe('root');
  });
});
