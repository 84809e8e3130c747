/**
 * Archives made to do harm (threat 5 of docs/security.md). Beside each destination lies a decoy tree, and links and old
 * content lead to it; it is compared with itself after every archive.
 */
import { spawnSync } from 'node:child_process';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import type { ProfileName } from '../../src/wire/profile.ts';
import { full } from '../faults/support/length.ts';
import { coversNext, everyProfile } from '../support/profiles.ts';
import { directory, endOfArchive, entry, gnuLongName, pax, targz } from './archive.ts';
import { extract, scratchFolder, treeOf } from './support.ts';

const profiles = everyProfile;

interface Scene {
  readonly folder: string;
  readonly decoy: string;
  readonly archivePath: string;
  readonly destDir: string;
}

/** A destination whose old content has every way out to the decoy. */
function scene(): Scene {
  const folder = scratchFolder();
  const decoy = join(folder, 'decoy');
  const destDir = join(folder, 'out');
  mkdirSync(join(decoy, 'sub'), { recursive: true });
  writeFileSync(join(decoy, 'keep'), 'kept', { mode: 0o640 });
  writeFileSync(join(decoy, 'sub', 'deep'), 'kept too');
  mkdirSync(join(destDir, 'old'), { recursive: true });
  symlinkSync(decoy, join(destDir, 'link'));
  symlinkSync('../../decoy/sub', join(destDir, 'old', 'link'));
  linkSync(join(decoy, 'keep'), join(destDir, 'old', 'hard'));
  return { folder, decoy, destDir, archivePath: join(folder, 'arc.tgz') };
}

/** Modes, sizes, link counts and content of everything in it. */
function fingerprint(path: string): string {
  const facts = spawnSync('sh', [
    '-c',
    'cd "$0" && find . -printf "%p %y %m %s %n %l\\n" | sort && find . -type f -exec cat {} +',
    path,
  ]);
  return facts.stdout.toString();
}

async function attack(archive: Buffer, profile: ProfileName, maxExtractBytes = 0) {
  const scenery = scene();
  // The old content holds a hard link, which goes: the count of names is the only thing that may change.
  const before = fingerprint(scenery.decoy).replace('./keep f 640 4 2', './keep f 640 4 1');
  writeFileSync(scenery.archivePath, archive);
  const outcome = await extract(scenery.archivePath, scenery.destDir, { profile, maxExtractBytes });
  expect(fingerprint(scenery.decoy)).toBe(before);
  expect(existsSync(scenery.archivePath)).toBe(false);
  expect(existsSync(join(scenery.destDir, '.synced'))).toBe(outcome.success);
  return { ...outcome, ...scenery, tree: treeOf(scenery.destDir) };
}

const unsafe = (name: string) => `unsafe path in archive: ${name}`;
const unsupported = (type: string, name: string) => `unsupported tar entry type ${type}: ${name}`;

test.each([
  ['a name that climbs out', [entry('../decoy/keep', { content: 'evil' })], unsafe('../decoy/keep')],
  [
    'a name that climbs out from inside',
    [entry('a/../../decoy/keep', { content: 'evil' })],
    unsafe('a/../../decoy/keep'),
  ],
  ['a folder that climbs out', [directory('../decoy/new/')], unsafe('../decoy/new/')],
  ['a name that climbs above the root', [entry(`${'../'.repeat(30)}tmp/evil`)], unsafe(`${'../'.repeat(30)}tmp/evil`)],
  [
    'a long name that climbs out',
    [gnuLongName(`${'d/'.repeat(100)}${'../'.repeat(101)}decoy/keep`), entry('x')],
    unsafe(`${'d/'.repeat(100)}${'../'.repeat(101)}decoy/keep`),
  ],
  [
    'a PAX name that climbs out',
    [pax({ path: '../decoy/keep' }), entry('harmless', { content: 'evil' })],
    unsafe('../decoy/keep'),
  ],
  ['a prefix that climbs out', [entry('keep', { prefix: '../decoy', content: 'evil' })], unsafe('../decoy/keep')],
  [
    'a link that points out',
    [entry('l', { type: '2', link: '../decoy' }), entry('l/keep', { content: 'evil' })],
    unsupported('2', 'l'),
  ],
  ['a link to an absolute path', [entry('l', { type: '2', link: '/etc/passwd' })], unsupported('2', 'l')],
  [
    'a hard link that points out',
    [entry('h', { type: '1', link: '../decoy/keep' }), entry('h', { content: 'evil' })],
    unsupported('1', 'h'),
  ],
  ['a hard link inside', [entry('a'), entry('h', { type: '1', link: 'a' })], unsupported('1', 'h')],
  ['a character device', [entry('null', { type: '3' })], unsupported('3', 'null')],
  ['a block device', [entry('disk', { type: '4' })], unsupported('4', 'disk')],
  ['a FIFO', [entry('fifo', { type: '6' })], unsupported('6', 'fifo')],
])('%s is refused by its name in every profile', async (_, entries, error) => {
  for (const profile of profiles) {
    const outcome = await attack(targz(...entries), profile);
    expect(outcome).toMatchObject({ success: false, fileCount: 0, error });
    expect(outcome.tree.every((path) => path === 'a=')).toBe(true);
  }
});

test('absolute names land inside the destination', async () => {
  for (const profile of profiles) {
    const { success, tree } = await attack(targz(entry('/etc/passwd', { content: 'x' }), entry('///tmp/f')), profile);
    expect({ success, tree }).toEqual({ success: true, tree: ['.synced=', 'etc/', 'etc/passwd=x', 'tmp/', 'tmp/f='] });
  }
});

test('a name that leaves by the front door and comes back is for S and N only', async () => {
  for (const profile of profiles) {
    const outcome = await attack(targz(entry('../out/x', { content: 'x' })), profile);
    if (coversNext(profile)) {
      expect(outcome.error).toBe(unsafe('../out/x'));
    } else {
      expect(outcome.tree).toEqual(['.synced=', 'x=x']);
    }
    const again = await attack(targz(entry('a/../b')), profile);
    expect(again.tree).toEqual(['.synced=', 'b=']);
  }
});

test('backslashes, control characters and escapes in names are names', async () => {
  const odd = ['..\\decoy\\keep', 'a\r\nb', '\x1b]0;title\x07', ' ', '-rf', '...', '~', '%2e%2e'];
  for (const profile of profiles) {
    const { success, tree } = await attack(targz(...odd.map((name) => entry(name))), profile);
    expect(success).toBe(true);
    expect(tree).toEqual([...odd.map((name) => `${name}=`), '.synced='].sort());
  }
});

test('a NUL in a name ends it, so what stands behind it opens nothing', async () => {
  for (const profile of profiles) {
    const { tree } = await attack(targz(entry('safe\0/../../decoy/keep', { content: 'x' })), profile);
    expect(tree).toEqual(['.synced=', 'safe=x']);
  }
});

test('an archive that is cut leaves a folder that nobody takes for whole', async () => {
  const content = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * index * 31) >> 3));
  const whole = targz(...Array.from({ length: 20 }, (_, index) => entry(`f${index}`, { content })));
  for (let part = 1; part < 20; part++) {
    const { success, error } = await attack(whole.subarray(0, Math.floor((whole.length * part) / 20)), 'next');
    expect({ success, error }).toEqual({ success: false, error: expect.stringMatching(/unexpected EOF$/) });
  }
});

test('a bomb stops at the limit, whatever its header says', async () => {
  // A megabyte that unpacks to a gigabyte, twice compressed away to almost nothing.
  const zeros = gzipSync(Buffer.alloc(16 * 1024 * 1024), { level: 9 });
  const header = gzipSync(entry('bomb', { size: 64 * zeros.length * 1000 }));
  const archive = Buffer.concat([header, ...Array.from({ length: 64 }, () => zeros)]);
  for (const profile of profiles) {
    const before = process.memoryUsage().rss;
    const { error, tree } = await attack(archive, profile, 50_000_000);
    expect({ error, tree }).toEqual({ error: 'extraction size limit exceeded', tree: [] });
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
  }
});

test('a size no disk could hold is not believed in advance', async () => {
  for (const digits of ['800000000fffffffffffffff', '8000000000000fffffffffff']) {
    const huge = entry('huge', { size: Buffer.from(digits, 'hex'), content: 'x' });
    const { error, tree } = await attack(targz(huge), 'S');
    expect({ error, tree }).toEqual({ error: 'unexpected EOF', tree: [] });
  }
});

test('a file of nothing but a hole stops at the limit, whatever its map says', async () => {
  const head = pax({ 'GNU.sparse.size': String(2n ** 62n), 'GNU.sparse.numblocks': '1', 'GNU.sparse.map': '0,0' });
  for (const profile of profiles) {
    const { error, tree } = await attack(targz(head, entry('hole')), profile, 10_000_000);
    expect({ error, tree }).toEqual({ error: 'extraction size limit exceeded', tree: [] });
  }
});

test('a path that no program could use is refused, however it is put together', async () => {
  const long = 'a'.repeat(200);
  const name = `${long}/`.repeat(30);
  for (const profile of profiles) {
    const { error, tree } = await attack(targz(pax({ path: `${name}f` }), entry('x')), profile);
    expect(error).toMatch(/^mkdir parent a+.*: file name too long$/s);
    expect(tree).toEqual([]);
  }
});

test('names that differ in case only are files of their own, or one file where the disk folds case', async () => {
  const { success, fileCount, tree } = await attack(
    targz(entry('File', { content: '1' }), entry('FILE', { content: '2' })),
    'next',
  );
  expect({ success, fileCount }).toEqual({ success: true, fileCount: 2 });
  expect(tree.filter((path) => path.endsWith('=2')).length).toBe(1);
});

test('a hundred thousand entries unpack, with every one in its place', { timeout: 300_000 }, async () => {
  const { archivePath, destDir, decoy } = scene();
  const before = fingerprint(decoy).replace('./keep f 640 4 2', './keep f 640 4 1');
  // In the short run one in ten is a file of its own; the others name folders again.
  const isFile = (index: number) => full || index % 10 === 0;
  async function* parts() {
    for (let index = 0; index < 100_000; index++) {
      const folder = `d${Math.floor(index / 1000)}/e${Math.floor(index / 100) % 10}`;
      yield isFile(index) ? entry(`${folder}/f${index}`, { content: 'x' }) : directory(`${folder}/`);
    }
    yield endOfArchive;
  }
  await pipeline(Readable.from(parts()), createGzip({ level: 1 }), createWriteStream(archivePath));
  expect(await extract(archivePath, destDir)).toEqual({ success: true, fileCount: full ? 100_000 : 10_000 });
  const found = spawnSync('find', [destDir, '-type', 'f', '-name', 'f*'], { maxBuffer: 1 << 26 });
  const names = found.stdout.toString().trim().split('\n').sort();
  const wanted = Array.from({ length: 100_000 }, (_, index) => index).filter(isFile);
  expect(names).toEqual(
    wanted.map((index) => `${destDir}/d${Math.floor(index / 1000)}/e${Math.floor(index / 100) % 10}/f${index}`).sort(),
  );
  expect(fingerprint(decoy)).toBe(before);
});

test('a folder as deep as a path may be unpacks and is removed again', async () => {
  const { archivePath, destDir } = scene();
  const depth = Math.floor((4095 - destDir.length) / 2) - 1;
  const name = `${'d/'.repeat(depth)}f`;
  const descriptors = readdirSync('/dev/fd').length;
  for (let round = 0; round < 2; round++) {
    writeFileSync(archivePath, targz(pax({ path: name }), entry('x', { content: 'deep' })));
    expect(await extract(archivePath, destDir)).toEqual({ success: true, fileCount: 1 });
    let content = '';
    for await (const piece of createReadStream(join(destDir, name))) {
      content += piece;
    }
    expect(content).toBe('deep');
  }
  expect(readdirSync('/dev/fd').length).toBeLessThanOrEqual(descriptors);
});
