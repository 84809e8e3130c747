import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { asOrdinaryUser, call, scratchFolder } from './support.ts';

const profiles = ['S', 'current', 'next'] as const;
const startFolder = process.cwd();
afterEach(() => process.chdir(startFolder));

test('entries come in the byte order of their names, without hidden ones', async () => {
  const folder = scratchFolder();
  for (const name of ['b', 'B', 'a', 'é', '~', '.hidden', '..odd', 'a.txt']) {
    writeFileSync(join(folder, name), '');
  }
  mkdirSync(join(folder, 'sub'));
  const { entries } = JSON.parse(await call('files.list', { path: folder }));
  expect(entries.map(({ name }: { name: string }) => name)).toEqual(['B', 'a', 'a.txt', 'b', 'sub', '~', 'é']);
  expect(entries[4]).toEqual({ name: 'sub', path: `${folder}/sub`, isDir: true });
});

test('an empty folder has an empty list', async () => {
  expect(await call('files.list', { path: scratchFolder() })).toBe('{"entries":[]}');
});

test('ten thousand files and links are all there, in order', async () => {
  const folder = scratchFolder();
  const names = Array.from({ length: 10_000 }, (_, index) => `f${(index * 7919) % 10_000}`);
  names.forEach((name, index) => {
    if (index % 10 === 0) {
      symlinkSync(index % 20 === 0 ? '/' : 'nowhere', join(folder, name));
    } else {
      closeSync(openSync(join(folder, name), 'w'));
    }
  });
  const { entries } = JSON.parse(await call('files.list', { path: folder }));
  expect(entries.map(({ name }: { name: string }) => name)).toEqual([...names].sort());
  const folders = entries.filter(({ isDir }: { isDir: boolean }) => isDir).map(({ name }: { name: string }) => name);
  expect(folders).toEqual(names.filter((_, index) => index % 20 === 0).sort());
});

test('names that are not UTF-8 are shown with one escape for each bad byte, and are looked at by their bytes', async () => {
  const folder = scratchFolder();
  const bad = Buffer.concat([Buffer.from(`${folder}/x`), Buffer.from([0xe2, 0x82]), Buffer.from('z')]);
  symlinkSync('/', bad);
  writeFileSync(join(folder, 'y\ufffd'), '');
  const text = await call('files.list', { path: folder });
  expect(text).toBe(
    `{"entries":[{"name":"x\\ufffd\\ufffdz","path":"${folder}/x\\ufffd\\ufffdz","isDir":true},` +
      `{"name":"y\ufffd","path":"${folder}/y\ufffd","isDir":false}]}`,
  );
});

test('the path of an entry is the cleaned folder with the name', async () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'y'));
  writeFileSync(join(folder, 'y', 'f'), '');
  const pathsOf = async (path: string) =>
    JSON.parse(await call('files.list', { path })).entries.map((entry: { path: string }) => entry.path);
  expect(await pathsOf(`${folder}//./y/`)).toEqual([`${folder}/y/f`]);
  process.chdir(join(folder, 'y'));
  expect(await pathsOf('.')).toEqual(['f']);
  expect(await pathsOf('../y/.')).toEqual(['../y/f']);
  process.chdir(dirname(folder));
  expect((await pathsOf('/')).every((path: string) => /^\/[^/]+$/.test(path))).toBe(true);
});

test('links to folders count as folders, dangling ones do not, and a link to a folder can be listed', async () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'real'));
  writeFileSync(join(folder, 'real', 'f'), '');
  symlinkSync('real', join(folder, 'to-folder'));
  symlinkSync('none', join(folder, 'to-nothing'));
  const { entries } = JSON.parse(await call('files.list', { path: folder }));
  expect(entries.map(({ isDir }: { isDir: boolean }) => isDir)).toEqual([true, true, false]);
  expect(await call('files.list', { path: `${folder}/to-folder` })).toContain(`"path":"${folder}/to-folder/f"`);
});

test('what is no folder is refused with the word of the profile', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'file'), '');
  symlinkSync('file', join(folder, 'link'));
  spawnSync('mkfifo', [join(folder, 'fifo')]);
  for (const profile of profiles) {
    const word = profile === 'S' ? 'readdirent' : 'open';
    for (const name of ['file', 'link', 'fifo']) {
      expect(await call('files.list', { path: `${folder}/${name}` }, { profile })).toBe(
        `-32603 ${word} ${folder}/${name}: not a directory`,
      );
    }
  }
});

test('missing, looping and unnamed folders are refused alike in every profile', async () => {
  const folder = scratchFolder();
  symlinkSync('loop', join(folder, 'loop'));
  for (const profile of profiles) {
    expect(await call('files.list', { path: `${folder}/none` }, { profile })).toBe(
      `-32603 open ${folder}/none: no such file or directory`,
    );
    expect(await call('files.list', '{}', { profile })).toBe('-32603 open : no such file or directory');
    expect(await call('files.list', { path: `${folder}/loop` }, { profile })).toBe(
      `-32603 open ${folder}/loop: too many levels of symbolic links`,
    );
    expect(await call('files.list', { path: `${folder}/a\0b` }, { profile })).toBe(
      `-32603 open ${folder}/a\0b: invalid argument`,
    );
  }
});

test('what may not be read is refused with the reason of each profile', async () => {
  const folder = scratchFolder();
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'file'), '');
  mkdirSync(join(folder, 'closed'));
  chmodSync(join(folder, 'file'), 0);
  chmodSync(join(folder, 'closed'), 0);
  for (const profile of profiles) {
    const list = (name: string) => asOrdinaryUser(() => call('files.list', { path: `${folder}/${name}` }, { profile }));
    expect(await list('closed')).toBe(`-32603 open ${folder}/closed: permission denied`);
    expect(await list('closed/x')).toBe(`-32603 open ${folder}/closed/x: permission denied`);
    const fileReason = profile === 'S' ? 'permission denied' : 'not a directory';
    expect(await list('file')).toBe(`-32603 open ${folder}/file: ${fileReason}`);
  }
  chmodSync(join(folder, 'closed'), 0o700);
});
