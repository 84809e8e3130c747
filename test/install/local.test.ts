/** `-install` with a CLI that is there already, or with a local blob (spec install.md §3, §6, §8). */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runProgram } from '../modes/run-program.ts';
import { coversNext } from '../support/profiles.ts';
import {
  badCli,
  expectHangingEnded,
  goodCli,
  hangingCli,
  modeOf,
  pack,
  profiles,
  sha256,
  unresponsive,
  Workshop,
} from './support.ts';

const wanted = ['-cli-version', '1.2.3'];
const short = { cachedRunMs: 300, firstRunMs: 300, killedRunMs: 5_000 };

describe.each(profiles)('profile %s: a CLI that is there already', (profile) => {
  test('is run once and left alone, and so is everything around it', async () => {
    const shop = new Workshop();
    shop.put('1.2.3', goodCli, { ageSeconds: 9_000 });
    shop.put('.fetch-old', 'x', { ageSeconds: 9_000 });
    for (const name of ['a', 'b', 'c', 'd']) {
      shop.put(name, 'x');
    }
    const blob = shop.blob();
    const words = [...wanted, '-cli-zst', blob, '-cli-checksum', 'wrong', '-cli-keep', '1'];
    const { facts } = await shop.install(words, { profile });
    expect(facts).toMatchObject({ cliPath: shop.path('1.2.3'), cliWasPresent: true });
    expect(facts).not.toHaveProperty('cliError');
    expect(shop.runs()).toEqual([`${shop.path('1.2.3')} --version`]);
    expect(shop.names()).toEqual(['.fetch-old', '1.2.3', 'a', 'b', 'c', 'd']);
    expect(existsSync(blob)).toBe(true);
  });

  test('but does not run is installed anew', async () => {
    const shop = new Workshop();
    for (const [content, mode] of [
      [badCli, 0o755],
      ['not a program', 0o755],
      ['', 0o755],
      [goodCli, 0o644],
    ] as const) {
      shop.put('1.2.3', content, { mode });
      chmodSync(shop.path('1.2.3'), mode);
      const { facts } = await shop.install([...wanted, '-cli-zst', shop.blob()], { profile });
      expect(facts).toMatchObject({ cliWasPresent: false });
      expect(facts).not.toHaveProperty('cliError');
      expect(readFileSync(shop.path('1.2.3'), 'utf8')).toBe(goodCli);
      expect(modeOf(shop.path('1.2.3'))).toBe(0o755);
    }
  });

  test('behind a link is run, and replaced link and all when it does not run', async () => {
    const shop = new Workshop();
    const target = join(shop.home, 'target');
    mkdirSync(shop.folder);
    writeFileSync(target, goodCli, { mode: 0o755 });
    symlinkSync(target, shop.path('1.2.3'));
    expect((await shop.install(wanted, { profile })).facts).toMatchObject({ cliWasPresent: true });

    writeFileSync(target, badCli);
    await shop.install([...wanted, '-cli-zst', shop.blob()], { profile });
    expect(lstatSync(shop.path('1.2.3')).isFile()).toBe(true);
    expect(readFileSync(target, 'utf8')).toBe(badCli);
  });
});

describe('a CLI that hangs', () => {
  test('when it was there already: stopped with all it started, nothing is installed, leftovers go (next)', async () => {
    const shop = new Workshop();
    shop.put('1.2.3', hangingCli);
    shop.put('.fetch-old', 'x', { ageSeconds: 9_000 });
    const blob = shop.blob();
    const { outcome } = await shop.installHere({ cliZst: blob }, { timings: short });
    expect(outcome).toMatchObject({ cliWasPresent: false, cliError: unresponsive, cliUnresponsive: true });
    expect(shop.names()).toEqual(['1.2.3']);
    expect(readFileSync(shop.path('1.2.3'), 'utf8')).toBe(hangingCli);
    expect(existsSync(blob)).toBe(true);
    await expectHangingEnded(shop);
  });

  test.each(['S', 'current'] as const)('when it was there already: installed anew (%s)', async (profile) => {
    const shop = new Workshop();
    shop.put('1.2.3', hangingCli);
    const { outcome } = await shop.installHere({ cliZst: shop.blob() }, { profile, timings: short });
    expect(outcome).toEqual({ cliPath: shop.path('1.2.3'), cliWasPresent: false });
    expect(readFileSync(shop.path('1.2.3'), 'utf8')).toBe(goodCli);
    await expectHangingEnded(shop);
  });

  test('when it is new: stopped, and stays to be tried again; nothing is pruned (next)', async () => {
    const shop = new Workshop();
    for (const name of ['a', 'b', 'c', 'd']) {
      shop.put(name, 'x', { ageSeconds: 60 });
    }
    const blob = shop.blob(hangingCli);
    const { outcome } = await shop.installHere({ cliZst: blob, cliKeep: 1 }, { timings: short });
    expect(outcome).toMatchObject({ cliWasPresent: false, cliError: unresponsive, cliUnresponsive: true });
    expect(shop.names()).toEqual(['1.2.3', 'a', 'b', 'c', 'd']);
    expect(existsSync(blob)).toBe(false);
    await expectHangingEnded(shop);
  });

  test.each(['S', 'current'] as const)('when it is new: not installed (%s)', async (profile) => {
    const shop = new Workshop();
    const blob = shop.blob(hangingCli);
    const { outcome } = await shop.installHere({ cliZst: blob }, { profile, timings: short });
    expect(outcome).toMatchObject({ cliError: `installed cli at ${shop.path('1.2.3')} is not runnable` });
    expect(outcome.cliUnresponsive).toBeUndefined();
    expect(shop.names()).toEqual([]);
    await expectHangingEnded(shop);
  });
});

describe.each(profiles)('profile %s: a local blob', (profile) => {
  test('becomes a program of mode 0755 in a folder of mode 0700, and is consumed', async () => {
    const shop = new Workshop();
    const blob = shop.blob();
    const parent = join(shop.home, 'a');
    mkdirSync(parent, { mode: 0o750 });
    const folder = join(parent, 'b', 'c');
    const words = ['-cli-dir', folder, ...wanted, '-cli-zst', blob];
    const { facts, stderr } = await shop.install(words, { profile });
    expect(stderr).toBe('');
    expect(facts).toMatchObject({ cliPath: join(folder, '1.2.3'), cliWasPresent: false });
    expect(facts).not.toHaveProperty('cliError');
    expect(facts).not.toHaveProperty('fetch');
    expect([parent, join(parent, 'b'), folder, join(folder, '1.2.3')].map(modeOf)).toEqual([
      0o750, 0o700, 0o700, 0o755,
    ]);
    expect(existsSync(blob)).toBe(false);
  });

  test('is run once, before it is in place or after it, as the generation has it', async () => {
    const shop = new Workshop();
    await shop.install([...wanted, '-cli-zst', shop.blob()], { profile });
    const [run, ...more] = shop.runs();
    expect(more).toEqual([]);
    if (coversNext(profile)) {
      expect(run).toBe(`${shop.path('1.2.3')} --version`);
    } else {
      expect(run).toMatch(new RegExp(`^${shop.path('.fetch-')}[0-9a-f]+ --version$`));
    }
  });

  test('that does not run is not left in place, and costs the old CLI only where the new one is run in its place', async () => {
    const shop = new Workshop();
    shop.put('1.2.3', '#!/bin/sh\nexit 7\n');
    const blob = shop.blob(badCli);
    const { facts } = await shop.install([...wanted, '-cli-zst', blob], { profile });
    expect(facts).toMatchObject({
      cliWasPresent: false,
      cliError: `installed cli at ${shop.path('1.2.3')} is not runnable`,
    });
    expect(shop.names()).toEqual(coversNext(profile) ? [] : ['1.2.3']);
    expect(existsSync(blob)).toBe(false);
  });

  test('with a checksum is checked first, as text; a refused one stays', async () => {
    const shop = new Workshop();
    const blob = shop.blob();
    const sum = sha256(pack(goodCli));
    for (const wrong of ['00ff', sum.toUpperCase(), ` ${sum}`]) {
      const { facts } = await shop.install([...wanted, '-cli-zst', blob, '-cli-checksum', wrong], { profile });
      expect(facts.cliError).toBe(`checksum mismatch: expected=${wrong}, actual=${sum}`);
    }
    expect(existsSync(blob)).toBe(true);
    expect(shop.names()).toEqual([]);
    const { facts } = await shop.install([...wanted, '-cli-zst', blob, '-cli-checksum', sum], { profile });
    expect(facts).not.toHaveProperty('cliError');
  });

  test('that is damaged is told from one that is cut, and stays; a checksum names both a mismatch', async () => {
    const shop = new Workshop();
    const blob = shop.blob();
    const whole = pack(goodCli);
    const sum = sha256(whole);
    for (const [bytes, reason] of [
      [Buffer.from('not zstd at all'), 'decompressing: invalid input: magic number mismatch'],
      [Buffer.concat([whole, Buffer.from('garbage')]), 'decompressing: invalid input: magic number mismatch'],
      [whole.subarray(0, whole.length - 3), 'decompressing: unexpected EOF'],
      [whole.subarray(0, 3), 'decompressing: unexpected EOF'],
      [Buffer.alloc(0), 'decompressing: unexpected EOF'],
    ] as const) {
      writeFileSync(blob, bytes);
      const run = await shop.install([...wanted, '-cli-zst', blob], { profile });
      expect(run.facts.cliError).toBe(reason);
      const checked = await shop.install([...wanted, '-cli-zst', blob, '-cli-checksum', sum], { profile });
      expect(checked.facts.cliError).toBe(`checksum mismatch: expected=${sum}, actual=${sha256(bytes)}`);
      expect(readFileSync(blob).equals(bytes)).toBe(true);
      expect(shop.names()).toEqual([]);
    }
  });

  test('that lies at the very path of the CLI makes way for it', async () => {
    const shop = new Workshop();
    const blob = shop.put('1.2.3', pack(goodCli), { mode: 0o644 });
    const { facts } = await shop.install([...wanted, '-cli-zst', blob], { profile });
    expect(facts).not.toHaveProperty('cliError');
    expect(readFileSync(shop.path('1.2.3'), 'utf8')).toBe(goodCli);
  });

  test('given by a link is consumed as that link', async () => {
    const shop = new Workshop();
    const link = join(shop.home, 'link');
    symlinkSync(shop.blob(), link);
    await shop.install([...wanted, '-cli-zst', link], { profile });
    expect(lstatSync(link, { throwIfNoEntry: false })).toBeUndefined();
    expect(existsSync(join(shop.home, 'blob'))).toBe(true);
  });

  test('that cannot be opened is named with the reason', async () => {
    const shop = new Workshop();
    const missing = join(shop.home, 'missing');
    const { facts } = await shop.install([...wanted, '-cli-zst', missing], { profile });
    expect(facts.cliError).toBe(`opening input: open ${missing}: no such file or directory`);
    const folder = join(shop.home, 'folder');
    mkdirSync(folder);
    const ofFolder = await shop.install([...wanted, '-cli-zst', folder], { profile });
    expect(ofFolder.facts.cliError).toBe(`decompressing: read ${folder}: is a directory`);
  });

  test('does not wait for the writer of a FIFO', async () => {
    const shop = new Workshop();
    const fifo = join(shop.home, 'fifo');
    await runProgram('mkfifo', [fifo], { env: process.env });
    const { facts } = await shop.install([...wanted, '-cli-zst', fifo], { profile });
    expect(facts.cliError).toBe(`decompressing: read ${fifo}: illegal seek`);
    expect(existsSync(fifo)).toBe(true);
  });

  test('wins over an address, which is not asked', async () => {
    const shop = new Workshop();
    const words = [...wanted, '-cli-url', 'http://127.0.0.1:1/x', '-cli-zst', shop.blob()];
    const { facts } = await shop.install(words, { profile });
    expect(facts).not.toHaveProperty('cliError');
    expect(facts).not.toHaveProperty('fetch');
  });

  test('that unpacks to more than -max-cli-bytes is refused, and one of exactly so many is not', async () => {
    const shop = new Workshop();
    const blob = shop.blob();
    const less = String(goodCli.length - 1);
    const { facts } = await shop.install([...wanted, '-cli-zst', blob, '-max-cli-bytes', less], { profile });
    expect(facts.cliError).toBe(`decompressing: decompressed CLI exceeds ${less} bytes`);
    expect(existsSync(blob)).toBe(true);
    expect(shop.names()).toEqual([]);
    const exact = [...wanted, '-cli-zst', blob, '-max-cli-bytes', String(goodCli.length)];
    expect((await shop.install(exact, { profile })).facts).not.toHaveProperty('cliError');
  });

  test('takes the place of a folder with everything in it', async () => {
    const shop = new Workshop();
    mkdirSync(join(shop.path('1.2.3'), 'deep', 'er'), { recursive: true });
    shop.put('1.2.3/deep/file', 'x', { mode: 0o400 });
    const { facts } = await shop.install([...wanted, '-cli-zst', shop.blob()], { profile });
    expect(facts).not.toHaveProperty('cliError');
    expect(statSync(shop.path('1.2.3')).isFile()).toBe(true);
  });

  test('is not needed to hear that nothing was given: the version is named as it came', async () => {
    const shop = new Workshop();
    const { facts } = await shop.install(['-cli-version', '9.9.9.exe'], { profile });
    expect(facts).toMatchObject({
      cliPath: shop.path('9.9.9.exe'),
      cliError: 'cli 9.9.9.exe missing and no --cli-url or --cli-zst provided',
    });
    // The later generation makes the folder before it looks at the source.
    expect(existsSync(shop.folder)).toBe(coversNext(profile));
  });
});

describe.each(profiles)('profile %s: a version that is no file name', (profile) => {
  test.each(['.', '..', 'a/b', '../x', 'a\\b', '/etc/x'])('%s touches nothing', async (version) => {
    const shop = new Workshop();
    const blob = shop.blob();
    const { facts } = await shop.install(['-cli-version', version, '-cli-zst', blob], { profile });
    expect(facts.cliError).toBe(`cli version "${version.replace('\\', '\\\\')}" must be a single path component`);
    expect(existsSync(blob)).toBe(true);
    expect(existsSync(shop.folder)).toBe(false);
  });

  test('may still name a CLI that is there and runs', async () => {
    const shop = new Workshop();
    mkdirSync(shop.path('a'), { recursive: true });
    shop.put('a/b', goodCli);
    const { facts } = await shop.install(['-cli-version', 'a/b'], { profile });
    expect(facts).toMatchObject({ cliPath: shop.path('a/b'), cliWasPresent: true });
  });

  test('must not look like a download of ours', async () => {
    const shop = new Workshop();
    const { facts } = await shop.install(['-cli-version', '.blob-1', '-cli-zst', shop.blob()], { profile });
    expect(facts.cliError).toBe('cli version ".blob-1" collides with the install download blob');
    expect(shop.names()).toEqual([]);
  });

  test('may look like a leftover: it is installed and goes when it is old', async () => {
    const shop = new Workshop();
    for (const name of ['.fetch-x', '1.0.zst']) {
      const { facts } = await shop.install(['-cli-version', name, '-cli-zst', shop.blob()], { profile });
      expect(facts).not.toHaveProperty('cliError');
    }
    expect(shop.names()).toEqual(['.fetch-x', '1.0.zst']);
    for (const name of shop.names()) {
      shop.age(name, 601);
    }
    await shop.install([...wanted, '-cli-zst', shop.blob()], { profile });
    expect(shop.names()).toEqual(['1.2.3']);
  });
});

describe.each(profiles)('profile %s: the home folder', (profile) => {
  /** @returns the folder of the versions, in which the home folder lies under the name `1.2.3` */
  async function expectGuarded(shop: Workshop, folder: string, home: string): Promise<void> {
    const blob = join(shop.home, 'blob');
    writeFileSync(blob, pack(goodCli));
    const path = join(folder, '1.2.3');
    const words = ['-cli-dir', folder, ...wanted, '-cli-zst', blob];
    const { facts } = await shop.install(words, { profile, env: { HOME: home } });
    expect(facts.cliError).toBe(`cli path must not be or contain the home directory: "${path}"`);
    expect(existsSync(blob)).toBe(true);
    expect(existsSync(join(home, 'keep'))).toBe(true);
    expect(existsSync(join(home, 'runs'))).toBe(false);
  }

  function homeAt(path: string): string {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'keep'), '');
    return path;
  }

  test('is never cleared for a CLI, as itself or inside a folder', async () => {
    const shop = new Workshop();
    await expectGuarded(shop, shop.folder, homeAt(shop.path('1.2.3')));
    const other = join(shop.home, 'other');
    await expectGuarded(shop, other, homeAt(join(other, '1.2.3', 'users', 'me')));
  });

  test('is recognised through links in its own path and in that of the versions', async () => {
    const shop = new Workshop();
    const real = homeAt(join(shop.folder, '1.2.3', 'me'));
    const link = join(shop.home, 'link-to-home');
    symlinkSync(real, link);
    await expectGuarded(shop, shop.folder, link);
    const linkToFolder = join(shop.home, 'link-to-folder');
    symlinkSync(shop.folder, linkToFolder);
    await expectGuarded(shop, linkToFolder, real);
  });

  test('that is a link at the path itself stays; a link elsewhere is only a link', async () => {
    const shop = new Workshop();
    const real = homeAt(join(shop.home, 'real'));
    mkdirSync(shop.folder);
    symlinkSync(real, shop.path('1.2.3'));
    await expectGuarded(shop, shop.folder, shop.path('1.2.3'));
    expect(readlinkSync(shop.path('1.2.3'))).toBe(real);

    const words = [...wanted, '-cli-zst', shop.blob()];
    expect((await shop.install(words, { profile, env: { HOME: real } })).facts).not.toHaveProperty('cliError');
    expect(existsSync(join(real, 'keep'))).toBe(true);
  });
});

describe('something else in the place of the folder', () => {
  test('a file, or a link to one, makes way together with the record beside it (next)', async () => {
    const shop = new Workshop();
    const record = join(shop.home, 'ccd-cli-version');
    const target = join(shop.home, 'target');
    for (const make of [() => writeFileSync(shop.folder, 'x'), () => symlinkSync(target, shop.folder)]) {
      writeFileSync(target, 'kept');
      writeFileSync(record, '1.0.0');
      make();
      const { facts } = await shop.install([...wanted, '-cli-zst', shop.blob()]);
      expect(facts).not.toHaveProperty('cliError');
      expect(modeOf(shop.folder)).toBe(0o700);
      expect(existsSync(record)).toBe(false);
      expect(readFileSync(target, 'utf8')).toBe('kept');
      await runProgram('rm', ['-r', shop.folder], { env: process.env });
    }
  });

  test('a FIFO makes way, a socket does not (next)', async () => {
    const shop = new Workshop();
    await runProgram('mkfifo', [shop.folder], { env: process.env });
    const { facts } = await shop.install([...wanted, '-cli-zst', shop.blob()]);
    expect(facts).not.toHaveProperty('cliError');

    const socket = join(shop.home, 'socket');
    const server = createServer().listen(socket);
    const refused = await shop.install(['-cli-dir', socket, ...wanted]);
    server.close();
    expect(refused.facts).toMatchObject({ cliPath: '', cliError: `mkdir cli dir: mkdir ${socket}: not a directory` });
  });

  test('a link that leads nowhere is refused by name (next)', async () => {
    const shop = new Workshop();
    symlinkSync(join(shop.home, 'nowhere'), shop.folder);
    const { facts } = await shop.install(wanted);
    expect(facts).toMatchObject({ cliPath: '', cliError: `mkdir cli dir: mkdir ${shop.folder}: file exists` });
  });

  test('a link to a folder is that folder (next)', async () => {
    const shop = new Workshop();
    const real = join(shop.home, 'real');
    mkdirSync(real);
    symlinkSync(real, shop.folder);
    writeFileSync(join(shop.home, 'ccd-cli-version'), 'kept');
    const { facts } = await shop.install([...wanted, '-cli-zst', shop.blob()]);
    expect(facts).toMatchObject({ cliPath: shop.path('1.2.3') });
    expect(existsSync(join(real, '1.2.3'))).toBe(true);
    expect(existsSync(join(shop.home, 'ccd-cli-version'))).toBe(true);
  });

  test.each(['S', 'current'] as const)('a file stays and is named (%s)', async (profile) => {
    const shop = new Workshop();
    writeFileSync(shop.folder, 'kept');
    const blob = shop.blob();
    const { facts } = await shop.install([...wanted, '-cli-zst', blob], { profile });
    expect(facts).toMatchObject({ cliPath: '', cliError: `mkdir cli dir: mkdir ${shop.folder}: not a directory` });
    expect(readFileSync(shop.folder, 'utf8')).toBe('kept');
    expect(existsSync(blob)).toBe(true);
  });

  test.each(profiles)('a file on the way there is named (%s)', async (profile) => {
    const shop = new Workshop();
    const file = join(shop.home, 'file');
    writeFileSync(file, '');
    const words = ['-cli-dir', join(file, 'a', 'b'), ...wanted, '-cli-zst', shop.blob()];
    expect((await shop.install(words, { profile })).facts).toMatchObject({
      cliPath: '',
      cliError: `mkdir cli dir: mkdir ${file}: not a directory`,
    });
  });
});
