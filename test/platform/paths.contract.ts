/** What an adapter promises about the spelling of paths and the words for errors (spec files.md §2). */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Machine, temporaryFolder } from './machine.ts';

/** Paths as a table: what is sent, what it becomes. */
export interface PathTables {
  readonly home: string;
  readonly homeVariable: string;
  readonly expanded: Readonly<Record<string, string>>;
  readonly cleaned: Readonly<Record<string, string>>;
  readonly folders: Readonly<Record<string, string>>;
  readonly absolute: readonly string[];
  readonly relative: readonly string[];
  readonly roots: readonly string[];
  /** Path, folder, whether the one is within the other. */
  readonly within: readonly (readonly [path: string, folder: string, within: boolean])[];
}

export function pathsContract({ platform: { paths }, words }: Machine, tables: PathTables): void {
  const reasonOf = (work: () => unknown): string => {
    try {
      work();
    } catch (error) {
      return paths.reason(error);
    }
    throw new Error('nothing failed');
  };

  describe('paths', () => {
    test('only a bare ~ and ~/… lead home', () => {
      const before = process.env[tables.homeVariable];
      onTestFinished(() => {
        process.env[tables.homeVariable] = before;
      });
      process.env[tables.homeVariable] = tables.home;
      const sent = Object.keys(tables.expanded);
      expect(Object.fromEntries(sent.map((path) => [path, paths.expandTilde(path)]))).toEqual(tables.expanded);
      process.env[tables.homeVariable] = '';
      for (const path of sent) {
        expect(paths.expandTilde(path)).toBe(path);
      }
    });

    test('cleaning is by the text alone', () => {
      const sent = Object.keys(tables.cleaned);
      expect(Object.fromEntries(sent.map((path) => [path, paths.clean(path)]))).toEqual(tables.cleaned);
    });

    test('the folder of a path is clean', () => {
      const sent = Object.keys(tables.folders);
      expect(Object.fromEntries(sent.map((path) => [path, paths.directoryOf(path)]))).toEqual(tables.folders);
    });

    test('absolute, relative and root are told apart', () => {
      for (const path of tables.absolute) {
        expect([path, paths.isAbsolute(path)]).toEqual([path, true]);
      }
      for (const path of tables.relative) {
        expect([path, paths.isAbsolute(path)]).toEqual([path, false]);
      }
      for (const path of tables.roots) {
        expect([path, paths.isRoot(path)]).toEqual([path, true]);
      }
      for (const path of tables.relative) {
        expect([path, paths.isRoot(path)]).toEqual([path, false]);
      }
    });

    test('being within a folder is a matter of whole components', () => {
      for (const [path, folder, within] of tables.within) {
        expect([path, folder, paths.isWithin(path, folder)]).toEqual([path, folder, within]);
      }
    });
  });

  describe('words for errors', () => {
    test('a missing file, a missing folder on the way, and a file on the way', () => {
      const folder = temporaryFolder();
      writeFileSync(join(folder, 'file'), '');
      expect(reasonOf(() => statSync(join(folder, 'missing')))).toBe(words.noSuchFile);
      expect(reasonOf(() => readFileSync(join(folder, 'missing', 'below')))).toBe(words.noSuchFolder);
      expect([words.notDirectory, words.noSuchFolder]).toContain(reasonOf(() => statSync(join(folder, 'file', 'x'))));
    });

    test('what is no folder, what is not empty, what exists', () => {
      const folder = temporaryFolder();
      mkdirSync(join(folder, 'full'));
      writeFileSync(join(folder, 'full', 'file'), '');
      expect([words.notDirectory, words.noSuchFile]).toContain(
        reasonOf(() => readdirSync(join(folder, 'full', 'file'))),
      );
      expect(reasonOf(() => rmdirSync(join(folder, 'full')))).toBe(words.notEmpty);
      expect(reasonOf(() => mkdirSync(join(folder, 'full')))).toBe(words.exists);
    });

    test('a NUL byte in a path is an invalid argument', () => {
      expect(reasonOf(() => statSync('a\0b'))).toBe('invalid argument');
    });

    test('what has no errno keeps its own words', () => {
      expect(paths.reason(new Error('token is empty'))).toBe('token is empty');
      expect(paths.reason('text')).toBe('text');
    });
  });
}
