/** zstd files for tests that no packer makes by itself. */
import { randomBytes } from 'node:crypto';
import { constants, zstdCompressSync } from 'node:zlib';

const mebibyte = 1 << 20;

/** Content whose last MiB repeats pieces of its first one in another order, `distance` MiB later, with noise between them. */
export function contentWithDistantRepeats(distance: number, pieceBytes = 4_096): Buffer {
  const content = Buffer.alloc((distance + 1) * mebibyte);
  const first = randomBytes(mebibyte);
  first.copy(content);
  const pieces = mebibyte / pieceBytes;
  for (let piece = 0; piece < pieces; piece++) {
    const from = ((piece * 7) % pieces) * pieceBytes;
    const to = distance * mebibyte + piece * pieceBytes;
    // The pieces have many lengths, so that the encoded distances begin at every position within a byte.
    const noise = 64 + ((piece * 37) % 61);
    first.copy(content, to, from, from + pieceBytes - noise);
    randomBytes(noise).copy(content, to + pieceBytes - noise);
  }
  return content;
}

/** Packed so that matches reach as far back as the window does, in one frame with a checksum. */
export function packWithWindow(content: Buffer, windowLog: number): Buffer {
  return zstdCompressSync(content, {
    params: {
      [constants.ZSTD_c_compressionLevel]: 1,
      [constants.ZSTD_c_windowLog]: windowLog,
      [constants.ZSTD_c_enableLongDistanceMatching]: 1,
      // With it, content that fits the window needs none.
      [constants.ZSTD_c_contentSizeFlag]: 0,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
}

const blockBytes = 131_072;

/** A frame by hand: runs of one byte, 128 KiB for every four bytes of it. */
export function frameOfRuns(blocks: number, windowLog = 17): Buffer {
  const head = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3]);
  const body = Buffer.alloc(blocks * 4);
  for (let block = 0; block < blocks; block++) {
    const isLast = block === blocks - 1 ? 1 : 0;
    body.writeUIntLE((blockBytes << 3) | (1 << 1) | isLast, block * 4, 3);
    body[block * 4 + 3] = 0x20;
  }
  return Buffer.concat([head, body]);
}

/** A skippable frame, with data of another program. */
export function skippableFrame(content: Buffer, kind = 0): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50 + kind, 0);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
}
