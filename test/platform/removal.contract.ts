/** What no method removes, on the file system of this machine (platform/common/removal-guard.ts). */
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join, parse } from 'node:path';
import { describe, expect, test } from 'vitest';
import { whyKept } from '../../platform/common/removal-guard.ts';
import { type Machine, temporaryFolder } from './machine.ts';

export function removalContract({ platform: { paths, files, host }, canLink }: Machine): void {
  const homeVariable = host.homeVariable.replace(/[$%]/g, '').toUpperCase();

  describe('removals', () => {
    test('the home folder and what contains it stay, folders beside and below it may go', async () => {
      const folder = temporaryFolder();
      const home = join(folder, 'users', 'me');
      mkdirSync(join(home, 'work'), { recursive: true });
      const places = { paths, host: { home: () => home } };
      for (const path of [home, join(folder, 'users'), join(home, 'work', '..'), folder]) {
        expect([path, await whyKept(path, places)]).toEqual([path, 'home']);
      }
      for (const path of [join(home, 'work'), join(folder, 'users', 'you'), `${home}2`]) {
        expect([path, await whyKept(path, places)]).toEqual([path, undefined]);
      }
    });

    test('no removal of a tree takes the home folder, what contains it, or a root', async () => {
      const folder = temporaryFolder();
      const home = join(folder, 'users', 'me');
      mkdirSync(home, { recursive: true });
      const before = process.env[homeVariable];
      process.env[homeVariable] = home;
      try {
        for (const path of [home, join(folder, 'users'), `${home}${paths.separator}`, parse(folder).root]) {
          await expect(files.removeTree(path)).rejects.toMatchObject({ code: 'EPERM' });
        }
      } finally {
        process.env[homeVariable] = before;
      }
      expect(existsSync(home)).toBe(true);
    });

    test.runIf(canLink)('behind a link to what is above it the home folder stays, a link to it may go', async () => {
      const folder = temporaryFolder();
      const home = join(folder, 'users', 'me');
      mkdirSync(home, { recursive: true });
      symlinkSync(join(folder, 'users'), join(folder, 'people'), 'junction');
      symlinkSync(home, join(folder, 'mine'), 'junction');
      const places = { paths, host: { home: () => home } };
      expect(await whyKept(join(folder, 'people', 'me'), places)).toBe('home');
      expect(await whyKept(join(folder, 'people'), places)).toBeUndefined();
      expect(await whyKept(join(folder, 'mine'), places)).toBeUndefined();
    });

    test.runIf(canLink)('where the home folder is a link, neither the link nor the folder goes', async () => {
      const folder = temporaryFolder();
      const real = join(folder, 'disk', 'me');
      mkdirSync(real, { recursive: true });
      symlinkSync(real, join(folder, 'me'), 'junction');
      const places = { paths, host: { home: () => join(folder, 'me') } };
      for (const path of [join(folder, 'me'), real, join(folder, 'disk')]) {
        expect([path, await whyKept(path, places)]).toEqual([path, 'home']);
      }
    });
  });
}
