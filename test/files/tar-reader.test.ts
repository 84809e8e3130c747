/** The archive readers on data that come in pieces of any size. */
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ArchiveError } from '../../src/files/archive-error.ts';
import { ByteReader } from '../../src/files/byte-reader.ts';
import { GzipReader } from '../../src/files/gzip-reader.ts';
import { TarReader } from '../../src/files/tar-reader.ts';
import { directory, entry, gnuLongName, pax, tarOf } from './archive.ts';

/** Gives `bytes` in pieces of the sizes, over and over, from one buffer that is written again each time. */
function inPieces(bytes: Buffer, sizes: readonly number[]): ByteReader {
  let at = 0;
  let turn = 0;
  const buffer = Buffer.alloc(Math.max(...sizes));
  return new ByteReader(async () => {
    if (at === bytes.length) {
      return undefined;
    }
    buffer.fill(0xee);
    const size = sizes[turn++ % sizes.length] ?? 1;
    const length = bytes.copy(buffer, 0, at, Math.min(bytes.length, at + size));
    at += length;
    return buffer.subarray(0, length);
  });
}

/** What an archive holds, or how far it could be read and why no further. */
async function read(input: ByteReader): Promise<string[]> {
  const found: string[] = [];
  try {
    const pieces = (await GzipReader.open(input)).pieces();
    const tar = new TarReader(new ByteReader(async () => (await pieces.next()).value ?? undefined));
    for (let next = await tar.next(); next !== undefined; next = await tar.next()) {
      let content = '';
      for await (const piece of tar.content()) {
        content += piece.toString('latin1');
      }
      found.push(`${next.type} ${next.name.toString('latin1')} ${next.mode.toString(8)} ${content}`);
    }
    await pieces.return();
  } catch (error) {
    if (!(error instanceof ArchiveError)) {
      throw error;
    }
    found.push(error.message.replace(/\d+$/, '<n>'));
  }
  return found;
}

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 70_000 })), {
  minLength: 1,
  maxLength: 6,
});

test('an archive reads the same in pieces of any size', async () => {
  const long = `${'ä'.repeat(200)}/f`;
  const parts = [
    directory('d/'),
    entry('d/f', { content: 'x'.repeat(1000) }),
    pax({ path: long }),
    entry('cut', { content: 'y' }),
    gnuLongName('n'.repeat(600)),
    entry('cut', { content: Buffer.alloc(70_000, 'z') }),
  ];
  const tar = tarOf(...parts);
  const expected = await read(inPieces(gzipSync(tar), [1 << 20]));
  expect(expected.map((line) => line.slice(0, 20))).toHaveLength(4);
  await fc.assert(
    fc.asyncProperty(sizes, fc.array(fc.nat(tar.length), { maxLength: 3 }), async (pieceSizes, cuts) => {
      const borders = [0, ...[...cuts].sort((a, b) => a - b), tar.length];
      const members = borders.slice(1).map((end, index) => gzipSync(tar.subarray(borders[index], end)));
      expect(await read(inPieces(Buffer.concat(members), pieceSizes))).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});

test('any bytes are an archive or a reason, and never anything else', async () => {
  const good = tarOf(pax({ path: 'p' }), entry('a', { content: 'x'.repeat(600) }), entry('b'));
  const damaged = fc
    .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
    .map((changes) => {
      const bytes = Buffer.from(good);
      for (const [at, byte] of changes) {
        bytes[at] = byte;
      }
      return gzipSync(bytes);
    });
  const damagedOutside = fc.tuple(fc.nat(200), fc.nat(255), fc.nat(300)).map(([at, byte, end]) => {
    const bytes = gzipSync(good);
    bytes[at % bytes.length] = byte;
    return bytes.subarray(0, bytes.length - (end % bytes.length));
  });
  const anything = fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes));
  const packedAnything = anything.map((bytes) => gzipSync(bytes));
  await fc.assert(
    fc.asyncProperty(fc.oneof(damaged, damagedOutside, anything, packedAnything), sizes, async (bytes, pieceSizes) => {
      const found = await read(inPieces(bytes, pieceSizes));
      expect(found.every((line) => /^(file|directory|other) |EOF$|^gzip: |^archive\/tar: |^flate: /s.test(line))).toBe(
        true,
      );
    }),
    { numRuns: 600 },
  );
});

test('a gzip header with every optional field is read', async () => {
  const tar = tarOf(entry('a', { content: '1' }));
  const fields = Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3]),
    Buffer.from([3, 0]),
    Buffer.from('xyz'),
    Buffer.from('name\0'),
    Buffer.from('a comment\0'),
  ]);
  const sum = Buffer.alloc(2);
  sum.writeUInt16LE(crc32(fields) & 0xffff);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(tar), 0);
  trailer.writeUInt32LE(tar.length, 4);
  const whole = Buffer.concat([fields, sum, deflateRawSync(tar), trailer]);
  expect(await read(inPieces(whole, [7]))).toEqual(['file a 644 1']);
  sum.writeUInt16LE((crc32(fields) & 0xffff) ^ 1);
  expect(await read(inPieces(Buffer.concat([fields, sum, deflateRawSync(tar), trailer]), [7]))).toEqual([
    'gzip: invalid header',
  ]);
  const endless = Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]), Buffer.alloc(2000, 'n')]);
  expect(await read(inPieces(endless, [100]))).toEqual(['gzip: invalid header']);
});
