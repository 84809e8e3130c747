/** A daemon that unpacks much (spec files.md §7): its memory, its other clients, and what a crash leaves. */
import { createWriteStream, existsSync, mkdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { expect, test } from 'vitest';
import { byLength, limitMs } from '../faults/support/length.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo } from '../support/host.ts';
import { procFiles, testNeeding } from '../support/needs.ts';
import { waitUntil } from '../support/wait.ts';
import { endOfArchive, entry, targz } from './archive.ts';
import { scratchFolder, treeOf } from './support.ts';

const mebibyte = 1024 * 1024;

/** Current and highest resident memory in bytes. */
function memoryOf(daemon: TestDaemon): { now: number; highest: number } {
  const status = readFileSync(`/proc/${daemon.pid()}/status`, 'utf8');
  const kibibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
  return { now: kibibytes('VmRSS') * 1024, highest: kibibytes('VmHWM') * 1024 };
}

/** One file that compresses to about a third, as programs do. */
async function writeLargeArchive(path: string, size: number): Promise<void> {
  const piece = Buffer.alloc(mebibyte);
  for (let index = 0; index < piece.length; index += 4) {
    if (index % 16 < 4) {
      piece.writeInt32LE((index * 2_654_435_761) | 0, index);
    }
  }
  async function* parts() {
    const base256 = Buffer.alloc(12);
    base256[0] = 0x80;
    base256.writeBigUInt64BE(BigInt(size), 4);
    yield entry('large', { size: base256 });
    for (let written = 0; written < size; written += piece.length) {
      yield piece;
    }
    yield endOfArchive;
  }
  await pipeline(Readable.from(parts()), createGzip({ level: 1 }), createWriteStream(path));
}

testNeeding(procFiles)(
  'a large archive costs the daemon less than 64 MiB, and other requests are answered meanwhile',
  { timeout: limitMs(180) },
  async () => {
    await using daemon = await startDaemon();
    await using client = await connectTo(daemon);
    await using other = await connectTo(daemon);
    const size = byLength(256 * mebibyte, 2048 * mebibyte);
    const archivePath = join(daemon.dir, 'large.tgz');
    const destDir = join(daemon.dir, 'out');
    await writeLargeArchive(archivePath, size);
    // The code of every method involved is loaded before it counts.
    writeFileSync(join(daemon.dir, 'small.tgz'), targz(entry('f', { content: 'x'.repeat(mebibyte) })));
    await client.request('files.extract_tar', {
      archivePath: join(daemon.dir, 'small.tgz'),
      destDir: join(daemon.dir, 's'),
    });
    await other.request('files.list', { path: daemon.dir });
    const before = memoryOf(daemon).now;

    let finished = false;
    const extraction = client.request('files.extract_tar', { archivePath, destDir }).finally(() => {
      finished = true;
    });
    await waitUntil(() => existsSync(join(destDir, 'large')), 'the file that is being unpacked');
    let answered = 0;
    while (!finished) {
      await client.request('server.ping');
      await other.request('files.list', { path: daemon.dir });
      if (!finished) {
        answered++;
      }
    }
    expect(await extraction).toEqual({ success: true, fileCount: 1 });
    expect(statSync(join(destDir, 'large')).size).toBe(size);
    // Held-up requests would be answered in one go at the end.
    expect(answered).toBeGreaterThan(size / (64 * mebibyte));
    const growth = memoryOf(daemon).highest - before;
    expect(growth).toBeLessThan(64 * mebibyte);
  },
);

test.each([
  ['while the destination is removed', 'files.extract.clean.after=kill', undefined],
  ['while a file is open', 'files.extract.write=1*off->kill', ['a=1', 'b=']],
  ['after the last file and before the marker', 'files.extract.marker.before=kill', ['a=1', 'b=2']],
] as const)('a daemon that dies %s leaves no marker', async (_, failpoints, tree) => {
  await using daemon = await startDaemon({ failpoints });
  await using client = await connectTo(daemon);
  const archivePath = join(daemon.dir, 'arc.tgz');
  const destDir = join(daemon.dir, 'out');
  mkdirSync(destDir);
  writeFileSync(join(destDir, '.synced'), '');
  writeFileSync(archivePath, targz(entry('a', { content: '1' }), entry('b', { content: '2' })));
  await expect(client.request('files.extract_tar', { archivePath, destDir })).rejects.toMatchObject({
    kind: 'closed',
    maybeDone: true,
  });
  expect(existsSync(destDir) ? treeOf(destDir) : undefined).toEqual(tree);
});

test.each(['ENOSPC', 'EIO', 'EDQUOT'])(
  '%s in the middle is told, and what is left is clearly not whole',
  async (code) => {
    await using daemon = await startDaemon({
      profile: 'next',
      failpoints: `files.extract.write=1*off->error(${code})`,
    });
    await using client = await connectTo(daemon);
    const archivePath = join(daemon.dir, 'arc.tgz');
    const destDir = join(daemon.dir, 'out');
    writeFileSync(archivePath, targz(entry('a', { content: '1' }), entry('b', { content: '2' })));
    const outcome = await client.request('files.extract_tar', { archivePath, destDir });
    expect(outcome).toMatchObject({ success: false, fileCount: 0, error: expect.stringMatching(/^write b: /) });
    expect(treeOf(destDir)).toEqual(['a=1']);
    expect(existsSync(archivePath)).toBe(false);
  },
);

test('a reply waits for no other extraction, not even for one that stands still', async () => {
  const pause = join(scratchFolder(), 'pause');
  await using daemon = await startDaemon({ failpoints: `files.extract.write=1*pause(${pause})` });
  await using client = await connectTo(daemon);
  const destination = (name: string) => ({
    archivePath: join(daemon.dir, `${name}.tgz`),
    destDir: join(daemon.dir, name),
  });
  for (const name of ['slow', 'fast']) {
    writeFileSync(destination(name).archivePath, targz(entry('f')));
  }
  const slow = client.request('files.extract_tar', destination('slow'));
  await waitUntil(() => existsSync(pause), 'the extraction that stands still');
  expect(await client.request('files.extract_tar', destination('fast'))).toEqual({ success: true, fileCount: 1 });
  expect(await client.request('files.read', { path: join(daemon.dir, 'fast', 'f') })).toEqual({
    content: '',
    exists: true,
  });
  unlinkSync(pause);
  expect(await slow).toEqual({ success: true, fileCount: 1 });
});
