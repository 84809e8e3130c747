/** Decompression: what comes out is what was packed, or there is an error (spec install.md §3 step 8). */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { constants, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { Decompress } from 'fzstd';
import { describe, expect, test } from 'vitest';
import { decompress, type FrameDecoder, fallbackDecoder, nodeDecoder } from '../../src/install/zstd.ts';
import { contentWithDistantRepeats, frameOfRuns, packWithWindow, skippableFrame } from './archives.ts';
import { goodCli, pack, sha256, Workshop } from './support.ts';

if (nodeDecoder === undefined) {
  throw new Error('the tests need a Node.js with zstd: 22.15 or newer');
}
const decoders: [name: string, decoder: FrameDecoder][] = [
  ["Node's decoder", nodeDecoder],
  ['the fallback', fallbackDecoder],
];

async function* inPieces(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? bytes.length;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function unpack(packed: Buffer, decoder: FrameDecoder, sizes: readonly number[] = [1 << 20]): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const bytes of decompress(inPieces(packed, sizes), decoder)) {
    pieces.push(Buffer.from(bytes));
  }
  return Buffer.concat(pieces);
}

async function digestOf(packed: Buffer, decoder: FrameDecoder): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of decompress(inPieces(packed, [1 << 20]), decoder)) {
    hash.update(bytes);
  }
  return hash.digest('hex');
}

function packWith(content: Buffer, level: number, checksum: boolean): Buffer {
  return zstdCompressSync(content, {
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: checksum ? 1 : 0 },
  });
}

describe.each(decoders)('%s', (_, decoder) => {
  test('unpacks any number of frames, with others between them, however the bytes arrive', async () => {
    const part = fc.oneof(
      fc.record({
        content: fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc.nat(200_000).map((length) => Buffer.alloc(length, 'abc ')),
        ),
        level: fc.constantFrom(-5, 1, 3, 19),
        checksum: fc.boolean(),
      }),
      fc.record({ skipped: fc.uint8Array({ maxLength: 40 }), kind: fc.nat(15) }),
    );
    const whole = { content: Buffer.from('end'), level: 3, checksum: true };
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { maxLength: 5 }),
        fc.array(fc.oneof(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 70_000 })), { minLength: 1 }),
        async (parts, sizes) => {
          const all = [...parts, whole];
          const packed = all.map((each) =>
            'skipped' in each
              ? skippableFrame(Buffer.from(each.skipped), each.kind)
              : packWith(Buffer.from(each.content), each.level, each.checksum),
          );
          const content = all.flatMap((each) => ('skipped' in each ? [] : [Buffer.from(each.content)]));
          const unpacked = await unpack(Buffer.concat(packed), decoder, sizes);
          expect(unpacked.equals(Buffer.concat(content))).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('says of every file that is cut short that it ends too early', async () => {
    const packed = Buffer.concat([
      packWith(Buffer.from(goodCli.repeat(50)), 3, true),
      skippableFrame(Buffer.from('x')),
    ]);
    const frameEnd = packed.length - 9;
    for (let length = 0; length < packed.length; length++) {
      const outcome = unpack(packed.subarray(0, length), decoder);
      if (length === frameEnd) {
        expect((await outcome).toString()).toBe(goodCli.repeat(50));
      } else {
        await expect(outcome, `${length} bytes`).rejects.toThrow(/^unexpected EOF$/);
      }
    }
  });

  test('refuses what follows the last frame and is none', async () => {
    for (const tail of ['garbage', '\0\0\0\0\0']) {
      const packed = Buffer.concat([pack('x'), Buffer.from(tail)]);
      await expect(unpack(packed, decoder)).rejects.toThrow(/^invalid input: magic number mismatch$/);
    }
    await expect(unpack(skippableFrame(Buffer.from('x')), decoder)).rejects.toThrow(/^unexpected EOF$/);
  });

  test('unpacks matches over 60 MiB exactly', async () => {
    const content = contentWithDistantRepeats(60);
    expect(await digestOf(packWithWindow(content, 26), decoder)).toBe(sha256(content));
  }, 120_000);

  test('answers a damaged byte with an error, or with what was packed where the checksum is verified', async () => {
    const content = Buffer.from(goodCli.repeat(100));
    const packed = packWith(content, 3, true);
    for (let at = 0; at < packed.length; at++) {
      const damaged = Buffer.from(packed);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      const outcome = await unpack(damaged, decoder).catch((error: Error) => error);
      if (outcome instanceof Error) {
        expect(outcome.name, outcome.stack).toBe('InstallFailure');
      }
      // The fallback does not verify checksums, which is why it is only a fallback and says so.
      else if (decoder === nodeDecoder) {
        expect(outcome.equals(content), `byte ${at}`).toBe(true);
      }
    }
  });
});

describe('matches over more than 96 MiB', () => {
  const content = contentWithDistantRepeats(100);
  const packed = packWithWindow(content, 27);

  test("come out of Node's decoder exactly", async () => {
    expect(await digestOf(packed, nodeDecoder as FrameDecoder)).toBe(sha256(content));
  });

  test('would come out of fzstd as other bytes without an error, so the fallback refuses them', async () => {
    const hash = createHash('sha256');
    let length = 0;
    const raw = new Decompress((bytes) => {
      hash.update(bytes);
      length += bytes.length;
    });
    for (let at = 0; at < packed.length; at += 1 << 20) {
      raw.push(packed.subarray(at, at + (1 << 20)));
    }
    raw.push(new Uint8Array(0), true);
    // As long as fzstd does this, the guard is needed.
    expect({ length, same: hash.digest('hex') === sha256(content) }).toEqual({ length: content.length, same: false });

    await expect(digestOf(packed, fallbackDecoder)).rejects.toThrow(
      /^window of 134217728 bytes exceeds 67108864 bytes, /,
    );
  }, 120_000);

  test('are installed by the program as they were packed', async () => {
    const shop = new Workshop();
    const script = Buffer.from('#!/bin/sh\nexit 0\n');
    const cli = Buffer.concat([script, content]);
    const blob = `${shop.home}/blob`;
    writeFileSync(blob, packWithWindow(cli, 27));
    const { facts } = await shop.install(['-cli-version', '1.2.3', '-cli-zst', blob]);
    expect(facts).not.toHaveProperty('cliError');
    expect(sha256(readFileSync(shop.path('1.2.3')))).toBe(sha256(cli));
  });
});

describe('a file made to exhaust the host', () => {
  test('with a window of 256 MiB is refused before anything is decoded', async () => {
    await expect(unpack(frameOfRuns(1, 28), nodeDecoder as FrameDecoder)).rejects.toThrow(
      /^window of 268435456 bytes exceeds the limit of 134217728 bytes$/,
    );
    expect((await unpack(frameOfRuns(1, 27), nodeDecoder as FrameDecoder)).length).toBe(131_072);
  });

  test('that unpacks from 320 kB to 10 GiB ends at -max-cli-bytes', async () => {
    const shop = new Workshop();
    const bomb = frameOfRuns(81_920);
    expect(bomb.length).toBeLessThan(330_000);
    const blob = `${shop.home}/blob`;
    writeFileSync(blob, bomb);
    const words = ['-cli-version', '1.2.3', '-cli-zst', blob, '-max-cli-bytes', '1000000'];
    expect((await shop.install(words)).facts.cliError).toBe('decompressing: decompressed CLI exceeds 1000000 bytes');
    expect(shop.names()).toEqual([]);
  });
});

test('a runtime without zstd installs by the fallback and says so', async () => {
  const shop = new Workshop();
  const { outcome, warnings } = await shop.installHere({ cliZst: shop.blob() }, { decoder: fallbackDecoder });
  expect(outcome.cliError).toBeUndefined();
  expect(shop.names()).toEqual(['1.2.3']);
  expect(warnings).toEqual([expect.stringMatching(/no zstd decoder/)]);
});
