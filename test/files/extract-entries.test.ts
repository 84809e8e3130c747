/** Entries, formats and failure texts of files.extract_tar (spec files.md §7.2, §7.3). */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { constants, deflateRawSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { mounts, testNeeding } from '../support/needs.ts';
import { coversNext, everyProfile } from '../support/profiles.ts';
import { at, directory, endOfArchive, entry, gnuLongName, pax, targz, tarOf, withChecksum } from './archive.ts';
import { type CallOptions, extract, scratchFolder, treeOf } from './support.ts';

const profiles = everyProfile;

/** Unpacks `archive` into `<folder>/out`. */
async function unpack(archive: Buffer, options: CallOptions = {}) {
  const folder = scratchFolder();
  const archivePath = join(folder, 'arc.tgz');
  const destDir = join(folder, 'out');
  writeFileSync(archivePath, archive);
  const outcome = await extract(archivePath, destDir, options);
  expect(existsSync(archivePath)).toBe(false);
  return { ...outcome, folder, destDir, tree: existsSync(destDir) ? treeOf(destDir) : undefined };
}

test('files, folders and implied parents are made, and files are counted', async () => {
  const { success, fileCount, tree } = await unpack(
    targz(
      directory('d/'),
      entry('d/f', { content: '1' }),
      entry('x/y/z', { content: '2' }),
      entry('old', { type: '\0' }),
    ),
  );
  expect({ success, fileCount, tree }).toEqual({
    success: true,
    fileCount: 3,
    tree: ['.synced=', 'd/', 'd/f=1', 'old=', 'x/', 'x/y/', 'x/y/z=2'],
  });
});

test('modes: files 0600, folders 0700, and only N+ keeps the execute bit of the owner', async () => {
  const archive = targz(
    directory('d/'),
    entry('plain', { mode: 0o644 }),
    entry('program', { mode: 0o755 }),
    entry('setuid', { mode: 0o6711 }),
    entry('others', { mode: 0o677 }),
  );
  for (const profile of profiles) {
    const { destDir } = await unpack(archive, { profile });
    const modeOf = (name: string) => (statSync(join(destDir, name)).mode & 0o7777).toString(8);
    const program = coversNext(profile) ? '700' : '600';
    expect(['', 'd', 'plain', 'program', 'setuid', 'others', '.synced'].map(modeOf)).toEqual([
      '700',
      '700',
      '600',
      program,
      program,
      '600',
      '600',
    ]);
  }
});

test('the umask applies', async () => {
  const folder = scratchFolder();
  const archivePath = join(folder, 'arc.tgz');
  writeFileSync(archivePath, targz(directory('d/'), entry('d/f')));
  const before = process.umask(0o400);
  try {
    expect(await extract(archivePath, join(folder, 'out'))).toEqual({ success: true, fileCount: 1 });
  } finally {
    process.umask(before);
  }
  const modeOf = (name: string) => (statSync(join(folder, name)).mode & 0o777).toString(8);
  expect(['out', 'out/d', 'out/d/f', 'out/.synced'].map(modeOf)).toEqual(['300', '300', '200', '200']);
});

test('names of every format arrive byte by byte', async () => {
  const long = `${'d'.repeat(120)}/${'f'.repeat(120)}`;
  const odd = Buffer.from([0x66, 0xff, 0xc3, 0x28]);
  const twisted = 'ä'.repeat(120);
  const { destDir, fileCount } = await unpack(
    targz(
      entry('v7', { format: 'v7' }),
      entry('file', { prefix: 'pre/fix' }),
      entry('gnu', { format: 'gnu', raw: { [at.prefix]: '00000000001\0' } }),
      gnuLongName(long),
      entry('cut', { format: 'gnu', content: 'long' }),
      pax({ path: 'line\nend' }),
      entry('cut', { content: 'pax' }),
      pax({ path: twisted }),
      entry('cut'),
      entry(odd),
      pax({ mtime: '1.5', 'SCHILY.xattr.x': Buffer.from([0, 0xff]), path: '' }),
      entry('named by its block'),
    ),
  );
  expect(fileCount).toBe(8);
  const names = readdirSync(destDir, { encoding: 'buffer' }).sort(Buffer.compare);
  const expected = ['.synced', 'd'.repeat(120), 'gnu', 'line\nend', 'named by its block', 'pre', 'v7', twisted].map(
    (name) => Buffer.from(name),
  );
  expect(names).toEqual([...expected, odd].sort(Buffer.compare));
  expect(readFileSync(join(destDir, long), 'utf8')).toBe('long');
  expect(readFileSync(join(destDir, 'line\nend'), 'utf8')).toBe('pax');
  expect(existsSync(join(destDir, 'pre/fix/file'))).toBe(true);
});

test('sizes in PAX records and in base 256 count', async () => {
  const base256 = Buffer.alloc(12);
  base256[0] = 0x80;
  base256[11] = 3;
  const { tree } = await unpack(
    targz(
      entry('big', { content: 'abc', size: base256 }),
      pax({ size: '4' }),
      entry('pax', { content: 'defg', size: 0 }),
    ),
  );
  expect(tree).toEqual(['.synced=', 'big=abc', 'pax=defg']);
});

test('a NUL type with a slash at its end is a folder, a plain file stays a file', async () => {
  const { tree, fileCount } = await unpack(
    targz(entry('old/', { type: '\0', format: 'v7' }), entry('file/', { content: 'x' }), entry('next')),
  );
  expect({ tree, fileCount }).toEqual({ tree: ['.synced=', 'file=x', 'next=', 'old/'], fileCount: 2 });
});

test('a folder entry that tells a size has no content behind it', async () => {
  const { tree } = await unpack(targz(entry('d/', { type: '5', size: 4096 }), entry('f', { content: 'x' })));
  expect(tree).toEqual(['.synced=', 'd/', 'f=x']);
});

test.each([...'1234678SDVNMAX', 'é', 'g'])('an entry of type %j is refused by its name', async (type) => {
  for (const profile of profiles) {
    // Only GNU's layout has sparse files of its own type.
    const odd = entry('odd', { type, link: 'a', format: type === 'S' ? 'gnu' : 'ustar' });
    const { error, tree } = await unpack(targz(entry('a'), odd, entry('b')), { profile });
    expect(error).toBe(`unsupported tar entry type ${type}: odd`);
    expect(tree).toEqual(['a=']);
  }
});

test('what git archive writes is refused for its global header', async () => {
  const archive = tarOf(entry('pax_global_header', { type: 'g', content: '13 comment=x\n' }), entry('a'));
  expect((await unpack(gzipSync(archive))).error).toBe('unsupported tar entry type g: pax_global_header');
});

test('a sparse file in PAX form is unpacked with zeros in its holes', async () => {
  const records = {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': 's',
    'GNU.sparse.realsize': '9',
  };
  const map = Buffer.alloc(512);
  map.write('2\n1\n2\n5\n2\n');
  const stored = Buffer.concat([map, Buffer.from('abcd')]);
  for (const profile of profiles) {
    const { tree, fileCount } = await unpack(targz(pax(records), entry('GNUSparseFile.0/s', { content: stored })), {
      profile,
    });
    expect({ tree, fileCount }).toEqual({ tree: ['.synced=', 's=\0ab\0\0cd\0\0'], fileCount: 1 });
  }
});

test('sparse files of the system tar have the content they had, or are refused where their type says so', async () => {
  const folder = scratchFolder();
  const source = join(folder, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'holes'), 'start');
  truncateSync(join(source, 'holes'), 3_000_000);
  appendFileSync(join(source, 'holes'), 'end');
  const archivePath = join(folder, 'arc.tgz');
  for (const version of ['0.0', '0.1', '1.0']) {
    const options = ['--format=posix', '--sparse', `--sparse-version=${version}`];
    expect(spawnSync('tar', [...options, '-czf', archivePath, '-C', source, 'holes']).status).toBe(0);
    expect(statSync(archivePath).size).toBeLessThan(2000);
    expect(await extract(archivePath, join(folder, 'out'))).toEqual({ success: true, fileCount: 1 });
    expect(treeOf(join(folder, 'out'))).toEqual(['.synced=', ...treeOf(source)]);
  }
  spawnSync('tar', ['--format=gnu', '--sparse', '-czf', archivePath, '-C', source, 'holes']);
  expect((await extract(archivePath, join(folder, 'out'))).error).toBe('unsupported tar entry type S: holes');
});

test.each([
  ['one zero block', [Buffer.alloc(512)]],
  ['no zero block', []],
  ['trailing garbage behind the end', [endOfArchive, Buffer.from('garbage')]],
  ['another archive behind the end', [endOfArchive, entry('never')]],
])('%s ends the archive', async (_, parts) => {
  const { success, tree } = await unpack(gzipSync(Buffer.concat([entry('a', { content: '1' }), ...parts])));
  expect({ success, tree }).toEqual({ success: true, tree: ['.synced=', 'a=1'] });
});

test('padding that is missing at the end is no error: the content is all there', async () => {
  const archive = entry('a', { content: '1' }).subarray(0, 513);
  expect((await unpack(gzipSync(archive))).success).toBe(true);
});

test('gzip members one after the other are one archive', async () => {
  const archive = tarOf(entry('a', { content: 'x'.repeat(2000) }), entry('b'));
  const members = [archive.subarray(0, 700), archive.subarray(700, 700), archive.subarray(700)].map((part) =>
    gzipSync(part),
  );
  const { tree } = await unpack(Buffer.concat(members));
  expect(tree?.length).toBe(3);
});

test('behind the end of the archive nothing is read: a wrong checksum, a missing trailer, garbage', async () => {
  const whole = targz(entry('a', { content: '1' }));
  const wrong = Buffer.from(whole);
  wrong.fill(0, whole.length - 8);
  for (const archive of [wrong, whole.subarray(0, whole.length - 8), Buffer.concat([whole, Buffer.from('garbage')])]) {
    expect((await unpack(archive)).success).toBe(true);
  }
});

test('a wrong checksum before the end of the archive is an error', async () => {
  const noEnd = gzipSync(entry('a', { content: '1' }));
  noEnd.writeUInt32LE(0, noEnd.length - 8);
  const { error, tree } = await unpack(noEnd);
  expect({ error, tree }).toEqual({ error: 'gzip: gzip: invalid checksum', tree: ['a=1'] });
});

test.each([
  ['512 bytes and more of text', Buffer.alloc(600, 'x'), 'archive/tar: invalid tar header'],
  ['less than a block', Buffer.alloc(100, 'x'), 'unexpected EOF'],
  ['a block that is cut', Buffer.concat([entry('a'), Buffer.alloc(100, 'x')]), 'unexpected EOF'],
  [
    'a zero block with another behind it',
    Buffer.concat([Buffer.alloc(512), entry('a')]),
    'archive/tar: invalid tar header',
  ],
  ['a negative size', tarOf(entry('a', { size: Buffer.alloc(12, 0xff) })), 'archive/tar: invalid tar header'],
  [
    'a size that is no number',
    tarOf(entry('a', { size: Buffer.from('zzzzzzzzzzz\0') })),
    'archive/tar: invalid tar header',
  ],
  [
    'a PAX record of a wrong length',
    tarOf(entry('p', { type: 'x', content: '99 path=a\n' }), entry('a')),
    'archive/tar: invalid tar header',
  ],
  [
    'a PAX record without an end',
    tarOf(entry('p', { type: 'x', content: '9 path=ab' }), entry('a')),
    'archive/tar: invalid tar header',
  ],
  ['a PAX path with a NUL', tarOf(pax({ path: 'a\0b' }), entry('a')), 'archive/tar: invalid tar header'],
  ['a PAX size that is no number', tarOf(pax({ size: '1e3' }), entry('a')), 'archive/tar: invalid tar header'],
  [
    'a PAX header over 1 MiB',
    tarOf(pax({ comment: 'c'.repeat(1_048_576) }), entry('a')),
    'archive/tar: header field too long',
  ],
  [
    'a long name over 1 MiB',
    tarOf(gnuLongName('n'.repeat(1_048_577)), entry('a')),
    'archive/tar: header field too long',
  ],
  ['a header in the last place', Buffer.concat([entry('p', { type: 'x', size: 700 })]), 'unexpected EOF'],
])('%s cannot be read as tar, in the words of each profile', async (_, archive, text) => {
  for (const profile of profiles) {
    const prefix = coversNext(profile) ? 'tar read: ' : 'gzip: ';
    const { error, fileCount, success, tree } = await unpack(gzipSync(archive), { profile });
    expect({ error, fileCount, success }).toEqual({ error: prefix + text, fileCount: 0, success: false });
    expect(tree).not.toContain('.synced=');
  }
});

test('a header whose checksum is wrong is refused', async () => {
  const header = entry('a');
  header[0] = 0x62;
  expect((await unpack(gzipSync(Buffer.concat([header, endOfArchive])))).error).toBe(
    'gzip: archive/tar: invalid tar header',
  );
  expect((await unpack(gzipSync(Buffer.concat([withChecksum(header), endOfArchive])))).success).toBe(true);
});

test('content that is cut fails, and no part of the file is left to look like it', async () => {
  for (const profile of profiles) {
    const cut = Buffer.concat([
      entry('whole', { content: 'w' }),
      entry('a.txt', { size: 5000, content: 'x'.repeat(1000) }),
    ]);
    const { error, tree } = await unpack(gzipSync(cut), { profile });
    expect(error).toBe(`${coversNext(profile) ? 'write a.txt: ' : ''}unexpected EOF`);
    expect(tree).toEqual(['whole=w']);
  }
});

test('a gzip file that is cut fails in the words of its place', async () => {
  const content = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * index * 31) >> 3));
  const whole = targz(entry('a.txt', { content }));
  for (const profile of profiles) {
    const prefix = coversNext(profile) ? 'write a.txt: ' : '';
    const cut = await unpack(whole.subarray(0, whole.length / 2), { profile });
    expect({ error: cut.error, tree: cut.tree }).toEqual({ error: `${prefix}unexpected EOF`, tree: [] });
  }
});

test.each([
  [
    'content',
    Buffer.concat([entry('whole', { content: 'w' }), entry('a', { size: 900_000, content: 'x'.repeat(200_000) })]),
    ['', 'write a: '],
  ],
  ['a header', entry('whole', { content: 'w' }), ['gzip: ', 'tar read: ']],
] as const)(
  'compressed data that are damaged in %s fail in the words of that place',
  async (_, good, [prefix, nextPrefix]) => {
    // A block of the type that deflate does not have, behind good ones.
    const deflated = deflateRawSync(good, { finishFlush: constants.Z_SYNC_FLUSH });
    const archive = Buffer.concat([gzipSync('').subarray(0, 10), deflated, Buffer.alloc(100, 7)]);
    for (const profile of profiles) {
      const { error } = await unpack(archive, { profile });
      expect(error?.replace(/\d+$/, '<n>')).toBe(
        `${coversNext(profile) ? nextPrefix : prefix}flate: corrupt input before offset <n>`,
      );
    }
  },
);

test.each([
  [
    'a file over a folder',
    [directory('d'), entry('d')],
    'create d: open {out}/d: is a directory',
    'create d: openat d: file exists',
  ],
  [
    'a file as the folder of a file',
    [entry('a'), entry('a/b')],
    'mkdir parent a/b: mkdir {out}/a: not a directory',
    'mkdir parent a/b: mkdirat a: file exists',
  ],
  [
    'a file as a folder further up',
    [entry('a'), entry('a/b/c')],
    'mkdir parent a/b/c: mkdir {out}/a: not a directory',
    'mkdir parent a/b/c: openat a: not a directory',
  ],
  [
    'a folder over a file',
    [entry('a'), directory('a/')],
    'mkdir {out}/a: not a directory',
    'mkdir a/: mkdirat a: file exists',
  ],
  [
    'a folder below a file',
    [entry('a'), directory('a/b/')],
    'mkdir {out}/a: not a directory',
    'mkdir a/b/: openat a: not a directory',
  ],
  [
    'a name of 300 characters',
    [pax({ path: 'n'.repeat(300) }), entry('x')],
    `create ${'n'.repeat(300)}: open {out}/${'n'.repeat(300)}: file name too long`,
    `create ${'n'.repeat(300)}: openat ${'n'.repeat(300)}: file name too long`,
  ],
  [
    'a file with the name of the destination',
    [entry('.')],
    'create .: open {out}: is a directory',
    'create .: openat .: file exists',
  ],
  ['a file without a name', [entry('/')], 'create /: open {out}: is a directory', 'create /: openat .: file exists'],
])('%s fails in the style of each profile', async (_, entries, pathStyle, atStyle) => {
  for (const profile of profiles) {
    const { error, destDir, tree } = await unpack(targz(...entries), { profile });
    expect(error).toBe((coversNext(profile) ? atStyle : pathStyle).replaceAll('{out}', destDir));
    expect(tree).not.toContain('.synced=');
  }
});

test('a folder entry with the name of the destination is fine', async () => {
  for (const profile of profiles) {
    expect((await unpack(targz(directory('./'), directory('/'), entry('./f')), { profile })).tree).toEqual([
      '.synced=',
      'f=',
    ]);
  }
});

test('of one name the last content counts; only N+ makes the file anew', async () => {
  const archive = targz(entry('f', { content: 'first and longer' }), entry('f', { content: 'last', mode: 0o755 }));
  for (const profile of profiles) {
    const { fileCount, tree, destDir } = await unpack(archive, { profile });
    expect({ fileCount, tree }).toEqual({ fileCount: 2, tree: ['.synced=', 'f=last'] });
    expect(statSync(join(destDir, 'f')).mode & 0o777).toBe(coversNext(profile) ? 0o700 : 0o600);
  }
});

test('an entry with the name of the marker is counted and gives way to it', async () => {
  for (const profile of profiles) {
    const { fileCount, tree } = await unpack(targz(entry('.synced', { content: 'x' }), entry('f')), { profile });
    expect({ fileCount, tree }).toEqual({ fileCount: 2, tree: ['.synced=', 'f='] });
  }
});

test('a folder with the name of the marker gives way to it in N+ only', async () => {
  const archive = targz(directory('.synced/'), entry('.synced/f'), entry('g'));
  for (const profile of ['S', 'current'] as const) {
    const { error, fileCount, destDir } = await unpack(archive, { profile });
    expect({ error, fileCount }).toEqual({
      error: `write .synced: open ${destDir}/.synced: is a directory`,
      fileCount: 0,
    });
  }
  expect((await unpack(archive, { profile: 'next' })).tree).toEqual(['.synced=', 'g=']);
});

test('no failure leaves a marker, not even one that was in the archive', async () => {
  for (const profile of profiles) {
    const { tree } = await unpack(targz(entry('.synced'), entry('a'), entry('../evil')), { profile });
    expect(tree).toEqual(['a=']);
  }
});

test('the size limit counts the content of all files and deletes the one that went over it', async () => {
  const archive = targz(
    entry('a', { content: 'x'.repeat(600) }),
    entry('b', { content: 'x'.repeat(400) }),
    entry('c', { content: 'x' }),
  );
  for (const profile of profiles) {
    const over = await unpack(archive, { profile, maxExtractBytes: 1000 });
    expect({ ...over, folder: '', destDir: '' }).toMatchObject({
      success: false,
      fileCount: 0,
      error: 'extraction size limit exceeded',
    });
    expect(readdirSync(over.destDir).sort()).toEqual(['a', 'b']);
    expect((await unpack(archive, { profile, maxExtractBytes: 1001 })).success).toBe(true);
    expect((await unpack(archive, { profile, maxExtractBytes: 0 })).success).toBe(true);
  }
});

testNeeding(mounts())('a full disk says which file could not be written', {}, async () => {
  const folder = scratchFolder();
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', disk]);
  try {
    const archivePath = join(folder, 'arc.tgz');
    for (const profile of profiles) {
      writeFileSync(
        archivePath,
        targz(entry('small', { content: 's' }), entry('big', { content: 'x'.repeat(200_000) })),
      );
      const { error } = await extract(archivePath, join(disk, 'out'), { profile });
      const prefix = coversNext(profile) ? 'write big: ' : '';
      expect(error).toMatch(new RegExp(`^${prefix}write .*big: no space left on device$`));
      expect(treeOf(join(disk, 'out'))).toEqual(['small=s']);
    }
  } finally {
    spawnSync('umount', [disk]);
  }
});

test('archives of the system tar unpack to what it was given', async () => {
  const folder = scratchFolder();
  const source = join(folder, 'source');
  mkdirSync(join(source, 'deep', 'x'.repeat(90), 'y'.repeat(90)), { recursive: true });
  writeFileSync(join(source, 'deep', 'x'.repeat(90), 'y'.repeat(90), 'ä'), 'content');
  writeFileSync(join(source, 'empty'), '');
  for (const format of ['v7', 'ustar', 'gnu', 'pax', 'oldgnu']) {
    const archivePath = join(folder, 'arc.tgz');
    const made = spawnSync('tar', [`--format=${format}`, '-czf', archivePath, '-C', source, '.'], { encoding: 'utf8' });
    if (format === 'v7' || format === 'ustar') {
      // Names too long for the format are left out by tar itself, with a failure.
      if (made.status !== 0) {
        spawnSync('tar', [`--format=${format}`, '-czf', archivePath, '-C', source, './empty']);
      }
    }
    const { success } = await extract(archivePath, join(folder, 'out'));
    expect(success, format).toBe(true);
    const marked = treeOf(join(folder, 'out')).filter((name) => name !== '.synced=');
    expect(marked).toEqual(made.status === 0 ? treeOf(source) : ['empty=']);
  }
});
