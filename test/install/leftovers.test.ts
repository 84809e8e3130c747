/** What an install clears away and what it never touches (spec install.md §5). */
import { existsSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cleanEnvironment, runHoldfast } from '../support/holdfast.ts';
import { coversNext } from '../support/profiles.ts';
import { goodCli, profiles, Workshop } from './support.ts';

const wanted = ['-cli-version', '1.2.3'];
const old = { ageSeconds: 601 };
const young = { ageSeconds: 590 };

function folder(shop: Workshop, name: string, ageSeconds: number, content?: string): void {
  mkdirSync(shop.path(name), { recursive: true });
  if (content !== undefined) {
    writeFileSync(join(shop.path(name), content), '');
  }
  shop.age(name, ageSeconds);
}

describe.each(profiles)('profile %s: leftovers of earlier attempts', (profile) => {
  test('go once they are ten minutes old, by their name as it is written', async () => {
    const shop = new Workshop();
    for (const name of ['.fetch-', '.fetch-1', '.zst', 'a.zst', '1.zst.part']) {
      shop.put(name, 'x', old);
    }
    for (const name of ['.fetch-2', 'b.zst']) {
      shop.put(name, 'x', young);
    }
    for (const name of ['.blob-1', '.FETCH-1', 'a.ZST', 'a.zst.']) {
      shop.put(name, 'x', old);
    }
    shop.put('.fetch-future', 'x', { ageSeconds: -9_000 });
    folder(shop, '.fetch-empty', 9_000);
    folder(shop, '.fetch-full', 9_000, 'file');
    symlinkSync('/nowhere', shop.path('.fetch-young-link'));
    await shop.install([...wanted, '-cli-zst', shop.blob(), '-cli-keep', '9'], { profile });
    const kept = ['.FETCH-1', '.blob-1', '.fetch-2', '.fetch-full', '.fetch-future', '.fetch-young-link'];
    // In profile latest such a file has a sweep of its own.
    const parts = profile === 'next' ? [] : ['1.zst.part'];
    expect(shop.names()).toEqual([...kept, '1.2.3', ...parts, 'a.ZST', 'a.zst.', 'b.zst'].sort());
  });

  test('go after an attempt that failed, too', async () => {
    const shop = new Workshop();
    shop.put('.fetch-1', 'x', old);
    await shop.install(wanted, { profile });
    expect(shop.names()).toEqual([]);
  });

  test('are not the blob of this very run, which stays when it is refused', async () => {
    const shop = new Workshop();
    const blob = shop.put('upload.zst', 'not zstd', old);
    const { facts } = await shop.install([...wanted, '-cli-zst', blob], { profile });
    expect(facts.cliError).toBe('decompressing: invalid input: magic number mismatch');
    expect(existsSync(blob)).toBe(true);
  });
});

describe.each(profiles)('profile %s: old versions', (profile) => {
  const later = coversNext(profile);

  test('stay as many as are to be kept, the newest', async () => {
    const shop = new Workshop();
    for (const [index, name] of ['e', 'd', 'c', 'b', 'a'].entries()) {
      shop.put(name, 'x', { ageSeconds: 100 - index });
    }
    await shop.install([...wanted, '-cli-zst', shop.blob()], { profile });
    expect(shop.names()).toEqual(['1.2.3', 'a', 'b']);
  });

  test('are not counted with downloads and leftovers of any age', async () => {
    const shop = new Workshop();
    for (const name of ['.blob-1', '.fetch-1', 'x.zst']) {
      shop.put(name, 'x', { ageSeconds: 5 });
    }
    shop.put('a', 'x', { ageSeconds: 10 });
    shop.put('b', 'x', { ageSeconds: 20 });
    await shop.install([...wanted, '-cli-zst', shop.blob(), '-cli-keep', '2'], { profile });
    expect(shop.names()).toEqual(['.blob-1', '.fetch-1', '1.2.3', 'a', 'x.zst']);
  });

  test(`that are folders ${later ? 'count, and go when they are empty' : 'are none'}`, async () => {
    const shop = new Workshop();
    folder(shop, 'new', 1);
    folder(shop, 'empty', 50);
    folder(shop, 'full', 60, 'file');
    shop.put('a', 'x', { ageSeconds: 10 });
    await shop.install([...wanted, '-cli-zst', shop.blob(), '-cli-keep', '2'], { profile });
    expect(shop.names()).toEqual(later ? ['1.2.3', 'full', 'new'] : ['1.2.3', 'a', 'empty', 'full', 'new']);
  });

  test(`with -cli-keep 0 ${later ? 'all go, but not the one just installed' : 'all stay'}`, async () => {
    const shop = new Workshop();
    shop.put('a', 'x');
    symlinkSync('/nowhere', shop.path('b'));
    await shop.install([...wanted, '-cli-zst', shop.blob(), '-cli-keep', '0'], { profile });
    expect(shop.names()).toEqual(later ? ['1.2.3'] : ['1.2.3', 'a', 'b']);
  });

  test('with a negative -cli-keep all stay', async () => {
    const shop = new Workshop();
    for (const name of ['a', 'b', 'c', 'd']) {
      shop.put(name, 'x');
    }
    const words = ['-install', '-cli-dir', shop.folder, ...wanted, '-cli-zst', shop.blob(), '-cli-keep', '-2'];
    const run = await runHoldfast(['-wire-profile', profile, ...words], { env: cleanEnvironment(shop.home) });
    expect(shop.names()).toEqual(['1.2.3', 'a', 'b', 'c', 'd']);
    if (profile === 'latest') {
      const stderr = 'claustrum: -cli-keep -2 is not a valid keep count\n';
      expect(run).toEqual({ code: 2, signal: null, stdout: '', stderr });
      expect(existsSync(join(shop.home, 'blob'))).toBe(false);
    } else {
      expect(run.code).toBe(0);
    }
  });

  test('a negative -cli-keep changes nothing on a cache hit and after a failure', async () => {
    const shop = new Workshop();
    shop.put('1.2.3', goodCli);
    shop.put('a', 'x');
    const there = await shop.install([...wanted, '-cli-keep', '-2'], { profile });
    expect(there.facts.cliWasPresent).toBe(true);
    const missing = await shop.install(['-cli-version', '2', '-cli-keep', '-2'], { profile });
    expect(missing.facts.cliError).toContain('cli 2 missing');
    expect(shop.names()).toEqual(['1.2.3', 'a']);
  });

  test('of the same age stay by their names, the greater one first', async () => {
    const shop = new Workshop();
    for (const name of ['b', 'd', 'a', 'c']) {
      shop.put(name, 'x');
      utimesSync(shop.path(name), 1_700_000_000, 1_700_000_000);
    }
    await shop.install([...wanted, '-cli-zst', shop.blob(), '-cli-keep', '3'], { profile });
    expect(shop.names()).toEqual(['1.2.3', 'c', 'd']);
  });

  test('from the future do not push out the one just installed', async () => {
    const shop = new Workshop();
    for (const name of ['a', 'b']) {
      shop.put(name, 'x', { ageSeconds: -9_000 });
    }
    await shop.install([...wanted, '-cli-zst', shop.blob(), '-cli-keep', '1'], { profile });
    expect(shop.names()).toContain('1.2.3');
    expect(shop.names()).toHaveLength(2);
  });

  test('stay when the install failed', async () => {
    const shop = new Workshop();
    for (const name of ['a', 'b']) {
      shop.put(name, 'x');
    }
    await shop.install([...wanted, '-cli-keep', '1'], { profile });
    expect(shop.names()).toEqual(['a', 'b']);
  });

  test.each(['me', '.fetch-me'])('are not the home folder %s, empty as it may be', async (name) => {
    const shop = new Workshop();
    folder(shop, name, 9_000);
    shop.put('a', 'x', old);
    const words = [...wanted, '-cli-zst', shop.blob('#!/bin/sh\nexit 0\n'), '-cli-keep', '1'];
    await shop.install(words, { profile, env: { HOME: shop.path(name) } });
    expect(shop.names()).toEqual([name, '1.2.3'].sort());
  });
});
