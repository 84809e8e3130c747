/** The steps of files.extract_tar in their order, and what each failure leaves (spec files.md §7.1, §7.4). */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { installFailpoints } from '../../src/base/failpoints.ts';
import { devices, testNeeding } from '../support/needs.ts';
import { coversNext, everyProfile } from '../support/profiles.ts';
import { entry, targz, tarOf } from './archive.ts';
import { asOrdinaryUser, call, extract, scratchFolder, treeOf } from './support.ts';

const profiles = everyProfile;
const realHome = process.env.HOME;
afterEach(() => {
  process.env.HOME = realHome;
});

/** A folder with an archive of one file and a destination with old content. */
function prepared(archive: Buffer = targz(entry('new.txt', { content: 'new' }))) {
  const folder = scratchFolder();
  const archivePath = join(folder, 'arc.tar.gz');
  const destDir = join(folder, 'out');
  writeFileSync(archivePath, archive);
  mkdirSync(join(destDir, 'sub'), { recursive: true });
  writeFileSync(join(destDir, 'old.txt'), 'old');
  writeFileSync(join(destDir, '.synced'), 'old marker');
  return { folder, archivePath, destDir };
}

const untouched = ['.synced=old marker', 'old.txt=old', 'sub/'];

test('the old content goes, the new one comes with an empty marker, the archive is consumed', async () => {
  for (const profile of profiles) {
    const { folder, archivePath, destDir } = prepared();
    expect(await call('files.extract_tar', { archivePath, destDir }, { profile })).toBe(
      '{"success":true,"fileCount":1}',
    );
    expect(treeOf(folder)).toEqual(['out/', 'out/.synced=', 'out/new.txt=new']);
  }
});

test('missing parents of the destination are made, and an empty archive is a success', async () => {
  const folder = scratchFolder();
  for (const [name, content] of [
    ['none.tgz', gzipSync('')],
    ['end.tgz', targz()],
  ] as const) {
    writeFileSync(join(folder, name), content);
    expect(await extract(join(folder, name), join(folder, 'x', 'y', name))).toEqual({ success: true, fileCount: 0 });
    expect(treeOf(join(folder, 'x', 'y', name))).toEqual(['.synced=']);
  }
});

test('both members are required, and neither may be of another type', async () => {
  const { folder, archivePath, destDir } = prepared();
  const required = '-32602 archivePath and destDir are required';
  for (const params of ['{}', 'null', '{"archivePath":null,"destDir":"/x"}']) {
    expect(await call('files.extract_tar', params)).toBe(required);
  }
  expect(await call('files.extract_tar', { archivePath })).toBe(required);
  expect(await call('files.extract_tar', { archivePath, destDir: '' })).toBe(required);
  expect(await call('files.extract_tar', { archivePath: '', destDir })).toBe(required);
  expect(await call('files.extract_tar', undefined)).toBe('-32602 Invalid params');
  expect(await call('files.extract_tar', { archivePath, destDir: 1 })).toBe('-32602 Invalid params');
  expect(existsSync(archivePath)).toBe(true);
  expect(treeOf(folder)).toContain('out/old.txt=old');
});

test.each([
  ['rel/dir', '"rel/dir"'],
  ['.', '"."'],
  ['/', '"/"'],
  ['//', '"//"'],
  ['/tmp/..', '"/tmp/.."'],
  ['/../.', '"/../."'],
  ['a"\\\n\t\x01\x7fé', '"a\\"\\\\\\n\\t\\x01\\x7fé"'],
])('the destination %j is refused before anything is touched', async (destDir, quoted) => {
  const { archivePath } = prepared();
  expect(await extract(archivePath, destDir)).toEqual({
    success: false,
    fileCount: 0,
    error: `destDir must be an absolute, non-root path: ${quoted}`,
  });
  expect(existsSync(archivePath)).toBe(true);
});

test('the home folder and every folder above it are refused however they are spelled, folders below pass', async () => {
  const { folder, archivePath, destDir } = prepared();
  const home = join(folder, 'users', 'me');
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'keep'), 'k');
  for (const spelledHome of [home, `${home}/`, `${folder}/users/./me`]) {
    process.env.HOME = spelledHome;
    for (const target of [
      home,
      `${home}/`,
      `${home}/.`,
      dirname(home),
      `${home}/x/..`,
      folder,
      dirname(folder),
      '~',
      '~/',
    ]) {
      const shown = target === '~' ? spelledHome : target === '~/' ? home : target;
      expect(await extract(archivePath, target)).toEqual({
        success: false,
        fileCount: 0,
        error: `destDir must not be or contain the home directory: "${shown}"`,
      });
    }
  }
  expect(treeOf(home)).toEqual(['keep=k']);
  expect(treeOf(destDir)).toEqual(untouched);
  // A name that only starts alike is another folder.
  expect(await extract(archivePath, `${home}2`)).toEqual({ success: true, fileCount: 1 });
  writeFileSync(archivePath, targz(entry('f')));
  expect(await extract(archivePath, '~/below')).toEqual({ success: true, fileCount: 1 });
  expect(treeOf(home)).toEqual(['below/', 'below/.synced=', 'below/f=', 'keep=k']);
});

test('without a home there is nothing to guard', async () => {
  const { archivePath, destDir } = prepared();
  delete process.env.HOME;
  expect(await extract(archivePath, destDir)).toEqual({ success: true, fileCount: 1 });
});

test('a missing archive changes nothing', async () => {
  const { folder, destDir } = prepared();
  const archivePath = join(folder, 'none.tgz');
  expect(await extract(archivePath, destDir)).toEqual({
    success: false,
    fileCount: 0,
    error: `open archive: open ${archivePath}: no such file or directory`,
  });
  expect(treeOf(destDir)).toEqual(untouched);
});

test('an archive that may not be read stays', async () => {
  const { folder, archivePath, destDir } = prepared();
  chmodSync(folder, 0o755);
  chmodSync(archivePath, 0);
  expect((await asOrdinaryUser(() => extract(archivePath, destDir))).error).toBe(
    `open archive: open ${archivePath}: permission denied`,
  );
  expect(existsSync(archivePath)).toBe(true);
});

test.each([
  ['an empty file', Buffer.alloc(0), 'gzip: EOF'],
  ['one byte', Buffer.from('x'), 'gzip: unexpected EOF'],
  ['nine bytes', gzipSync('').subarray(0, 9), 'gzip: unexpected EOF'],
  ['text', Buffer.from('this is not an archive'), 'gzip: gzip: invalid header'],
  ['a plain tar', tarOf(entry('a')), 'gzip: gzip: invalid header'],
  ['another method than deflate', Buffer.from('1f8b07000000000000ff', 'hex'), 'gzip: gzip: invalid header'],
  ['a header cut in its name', Buffer.from('1f8b08080000000000ff6e', 'hex'), 'gzip: unexpected EOF'],
])('%s is consumed and leaves the destination as it was', async (_, content, error) => {
  for (const profile of profiles) {
    const { archivePath, destDir } = prepared(content);
    expect(await extract(archivePath, destDir, { profile })).toEqual({ success: false, fileCount: 0, error });
    expect(existsSync(archivePath)).toBe(false);
    expect(treeOf(destDir)).toEqual(untouched);
  }
});

test('a folder as archive is refused; an empty one goes, a filled one stays', async () => {
  const { folder, destDir } = prepared();
  mkdirSync(join(folder, 'empty'));
  mkdirSync(join(folder, 'filled', 'x'), { recursive: true });
  for (const name of ['empty', 'filled']) {
    const path = join(folder, name);
    expect((await extract(path, destDir)).error).toBe(`gzip: read ${path}: is a directory`);
  }
  expect(existsSync(join(folder, 'empty'))).toBe(false);
  expect(existsSync(join(folder, 'filled', 'x'))).toBe(true);
  expect(treeOf(destDir)).toEqual(untouched);
});

test('a FIFO as archive answers at once', async () => {
  const { folder, destDir } = prepared();
  spawnSync('mkfifo', [join(folder, 'fifo')]);
  expect((await extract(join(folder, 'fifo'), destDir)).error).toBe('gzip: EOF');
  expect(treeOf(destDir)).toEqual(untouched);
});

testNeeding(devices())('a device is never removed, neither as archive nor as destination', {}, async () => {
  const { folder, archivePath, destDir } = prepared();
  const devices = join(folder, 'devices');
  mkdirSync(devices);
  execFileSync('mknod', [join(devices, 'null'), 'c', '1', '3']);
  for (const profile of profiles) {
    expect((await extract(join(devices, 'null'), destDir, { profile })).error).toBe('gzip: EOF');
    writeFileSync(archivePath, targz(entry('a')));
    expect((await extract(archivePath, join(devices, 'null'), { profile })).error).toBe(
      `clean destDir: unlinkat ${devices}/null: operation not permitted`,
    );
    expect(existsSync(archivePath)).toBe(false);
    expect(readdirSync(devices)).toEqual(['null']);
  }
});

test('a link as archive is consumed, not what it leads to', async () => {
  const { folder, archivePath, destDir } = prepared();
  symlinkSync(archivePath, join(folder, 'link'));
  expect(await extract(join(folder, 'link'), destDir)).toEqual({ success: true, fileCount: 1 });
  expect(existsSync(archivePath)).toBe(true);
  expect(existsSync(join(folder, 'link'))).toBe(false);
});

test('a file or a link in the place of the destination goes, the target of the link stays', async () => {
  const { folder, archivePath } = prepared();
  const decoy = join(folder, 'decoy');
  mkdirSync(decoy);
  writeFileSync(join(decoy, 'keep'), 'k');
  symlinkSync(decoy, join(folder, 'link'));
  expect(await extract(archivePath, join(folder, 'link'))).toEqual({ success: true, fileCount: 1 });
  expect(treeOf(join(folder, 'link'))).toEqual(['.synced=', 'new.txt=new']);
  expect(treeOf(decoy)).toEqual(['keep=k']);
  writeFileSync(archivePath, targz(entry('f')));
  writeFileSync(join(folder, 'file'), '');
  expect(await extract(archivePath, `${folder}/file/`)).toEqual({ success: true, fileCount: 1 });
  expect(treeOf(join(folder, 'file'))).toEqual(['.synced=', 'f=']);
});

test('an archive inside its destination, or in its place, is unpacked', async () => {
  const folder = scratchFolder();
  const inside = join(folder, 'out', 'arc.tgz');
  mkdirSync(join(folder, 'out'));
  writeFileSync(inside, targz(entry('f', { content: 'x' })));
  expect(await extract(inside, join(folder, 'out'))).toEqual({ success: true, fileCount: 1 });
  const place = join(folder, 'place');
  writeFileSync(place, targz(entry('f', { content: 'x' })));
  expect(await extract(place, place)).toEqual({ success: true, fileCount: 1 });
  expect(treeOf(folder)).toEqual(['out/', 'out/.synced=', 'out/f=x', 'place/', 'place/.synced=', 'place/f=x']);
});

test('a destination that cannot be cleaned, made or reached says which step failed, and the archive is consumed', async () => {
  const { folder, archivePath, destDir } = prepared();
  chmodSync(folder, 0o777);
  chmodSync(destDir, 0o555);
  const asUser = async (target: string) => {
    writeFileSync(archivePath, targz(entry('a')));
    chmodSync(archivePath, 0o644);
    const outcome = await asOrdinaryUser(() => extract(archivePath, target));
    expect(existsSync(archivePath)).toBe(false);
    return outcome.error;
  };
  expect(await asUser(destDir)).toMatch(new RegExp(`^clean destDir: unlinkat ${destDir}/[.\\w]+: permission denied$`));
  const closed = join(folder, 'closed');
  mkdirSync(closed, { mode: 0o555 });
  chmodSync(closed, 0o555);
  expect(await asUser(`${closed}/new/deep`)).toBe(`mkdir destDir: mkdir ${closed}/new: permission denied`);
  expect(await asUser(`${closed}/new`)).toBe(`mkdir destDir: mkdir ${closed}/new: permission denied`);
  writeFileSync(join(folder, 'file'), '');
  expect(await asUser(`${folder}/file/x`)).toBe(`clean destDir: unlinkat ${folder}/file/x: not a directory`);
  expect(await asUser(`${folder}/a\0b`)).toBe(`clean destDir: unlinkat ${folder}/a\0b: invalid argument`);
});

test('an old folder is removed as far as it goes before the failure is told', async () => {
  const { folder, archivePath, destDir } = prepared();
  for (const path of [folder, destDir]) {
    chmodSync(path, 0o777);
  }
  mkdirSync(join(destDir, 'kept'));
  writeFileSync(join(destDir, 'kept', 'f'), 'k');
  chmodSync(join(destDir, 'kept'), 0o555);
  chmodSync(archivePath, 0o644);
  if (process.geteuid?.() === 0) {
    spawnSync('chown', ['-R', '65534', folder]);
  }
  const { error } = await asOrdinaryUser(() => extract(archivePath, destDir));
  expect(error).toBe(`clean destDir: unlinkat ${destDir}/kept/f: permission denied`);
  expect(treeOf(destDir)).toEqual(['kept/', 'kept/f=k']);
  chmodSync(join(destDir, 'kept'), 0o755);
});

test('a umask that closes the new folder is told in the words of each profile', async () => {
  for (const profile of profiles) {
    const { folder, archivePath, destDir } = prepared();
    spawnSync('rm', ['-r', destDir]);
    for (const path of [folder]) {
      chmodSync(path, 0o777);
    }
    chmodSync(archivePath, 0o644);
    const before = process.umask(0o100);
    try {
      const { error } = await asOrdinaryUser(() => extract(archivePath, destDir, { profile }));
      expect(error).toBe(
        coversNext(profile)
          ? `open destDir: "${basename(destDir)}" could not be examined (statat .: permission denied)`
          : `create new.txt: open ${destDir}/new.txt: permission denied`,
      );
    } finally {
      process.umask(before);
    }
  }
});

test('a umask under which a new folder cannot be read is told by profile latest, naming the folder that was made', async () => {
  const before = process.umask(0o400);
  try {
    for (const below of ['', 'made/']) {
      const { folder, archivePath } = prepared();
      const destDir = join(folder, `${below}new`);
      chmodSync(folder, 0o777);
      chmodSync(archivePath, 0o644);
      const result = await asOrdinaryUser(() => extract(archivePath, destDir, { profile: 'latest' }));
      expect(result).toEqual({
        success: false,
        fileCount: 0,
        error:
          below === ''
            ? 'open destDir: openat new: permission denied'
            : `open parent: open ${folder}/made: permission denied`,
      });
      expect(existsSync(archivePath)).toBe(false);
    }
  } finally {
    process.umask(before);
  }
});

describe('a destination that is swapped while it is opened', () => {
  afterEach(() => installFailpoints(undefined));

  test.each<[by: string, point: string, swap: (destDir: string) => void, error: string]>([
    ['a link', 'files.extract.made.after', (path) => symlinkSync('/tmp', path), 'openat out: path escapes from parent'],
    ['another folder', 'files.extract.made.after', (path) => mkdirSync(path), '"out" changed while it was opened'],
    ['a file', 'files.extract.made.after', (path) => writeFileSync(path, 'x'), '"out" changed while it was opened'],
    ['nothing', 'files.extract.made.after', () => {}, 'openat out: no such file or directory'],
  ])('for %s is told by profile latest and gets nothing', async (_, point, swap, error) => {
    const { folder, archivePath } = prepared();
    const destDir = join(folder, 'out');
    installFailpoints({
      pass() {},
      async passWaiting(passed) {
        if (passed === point) {
          renameSync(destDir, join(folder, 'moved'));
          swap(destDir);
        }
      },
    });
    expect(await extract(archivePath, destDir, { profile: 'latest' })).toEqual({
      success: false,
      fileCount: 0,
      error: `open destDir: ${error}`,
    });
    expect(readdirSync(join(folder, 'moved'))).toEqual([]);
  });
});

test('two extractions into one destination take turns, and the last one is whole', async () => {
  const folder = scratchFolder();
  const destDir = join(folder, 'out');
  const names = Array.from({ length: 40 }, (_, index) => `f${index}`);
  const outcomes = await Promise.all(
    ['a', 'b', 'c'].map((letter) => {
      const archivePath = join(folder, `${letter}.tgz`);
      writeFileSync(archivePath, targz(...names.map((name) => entry(letter + name, { content: letter }))));
      return extract(archivePath, letter === 'b' ? `${folder}/./out/` : destDir);
    }),
  );
  expect(outcomes).toEqual(outcomes.map(() => ({ success: true, fileCount: 40 })));
  expect(readdirSync(folder)).toEqual(['out']);
  expect(readdirSync(destDir).sort()).toEqual(['.synced', ...names.map((name) => `c${name}`)].sort());
});
