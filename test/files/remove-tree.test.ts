/** Removal of trees that are hard to remove (platform/files.ts, removeTree). */
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { asOrdinaryUser, platform, scratchFolder, treeOf } from './support.ts';

const { files } = platform;

test('a tree deeper than any path may be goes, with few descriptors', { timeout: 120_000 }, async () => {
  const folder = scratchFolder();
  const top = join(folder, 'top');
  const name = Buffer.from('dd');
  let here = await files.createFolders(top);
  for (let depth = 0; depth < 3000; depth++) {
    await here.createFolder(name);
    const next = await here.openFolder(name);
    if (depth % 40 === 0) {
      await (await here.createFile(Buffer.from('f'), 0o600, 'new')).close();
    }
    await here.close();
    here = next;
  }
  await here.close();
  const before = readdirSync('/dev/fd').length;
  let most = 0;
  const sampling = setInterval(() => {
    most = Math.max(most, readdirSync('/dev/fd').length);
  }, 1);
  await files.removeTree(top);
  clearInterval(sampling);
  expect(existsSync(top)).toBe(false);
  expect(most - before).toBeLessThan(64);
  expect(readdirSync('/dev/fd').length).toBeLessThanOrEqual(before);
});

test('many removals at once all end well', async () => {
  const folder = scratchFolder();
  const trees = Array.from({ length: 400 }, (_, index) => join(folder, `t${index}`));
  for (const tree of trees) {
    mkdirSync(join(tree, 'a', 'b'), { recursive: true });
    writeFileSync(join(tree, 'a', 'f'), '');
  }
  await Promise.all(trees.map((tree) => files.removeTree(tree)));
  expect(readdirSync(folder)).toEqual([]);
});

test('two removals of one tree both succeed', async () => {
  const folder = scratchFolder();
  for (let round = 0; round < 20; round++) {
    const tree = join(folder, 'tree');
    for (let index = 0; index < 20; index++) {
      mkdirSync(join(tree, `d${index}`, 'e'), { recursive: true });
      writeFileSync(join(tree, `d${index}`, 'f'), '');
    }
    await Promise.all([files.removeTree(tree), files.removeTree(tree)]);
    expect(readdirSync(folder)).toEqual([]);
  }
});

test('an empty folder that may not be read goes, a filled one is named', async () => {
  const folder = scratchFolder();
  chmodSync(folder, 0o777);
  const names = ['empty', 'filled', 'free'];
  const tree = join(folder, 'tree');
  const before = process.umask(0);
  await asOrdinaryUser(async () => {
    for (const name of names) {
      mkdirSync(join(tree, name), { recursive: true });
    }
    writeFileSync(join(tree, 'filled', 'f'), 'x');
    writeFileSync(join(tree, 'free', 'f'), 'x');
    for (const name of ['empty', 'filled']) {
      chmodSync(join(tree, name), 0);
    }
    const failure = await files.removeTree(tree).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'EACCES', message: `unlinkat ${tree}/filled: permission denied` });
    chmodSync(join(tree, 'filled'), 0o700);
  });
  process.umask(before);
  expect(treeOf(tree)).toEqual(['filled/', 'filled/f=x']);
});

test('names that are not UTF-8 go too', async () => {
  const folder = scratchFolder();
  const odd = Buffer.concat([Buffer.from(`${folder}/tree/`), Buffer.from([0xff, 0x0a, 0x80])]);
  mkdirSync(join(folder, 'tree'));
  mkdirSync(odd);
  writeFileSync(Buffer.concat([odd, Buffer.from('/f')]), '');
  await files.removeTree(join(folder, 'tree'));
  expect(readdirSync(folder)).toEqual([]);
});
