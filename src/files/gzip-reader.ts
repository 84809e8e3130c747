/**
 * Reads a gzip file of one or more members (RFC 1952). Node's own gunzip checks the trailer in the same step in which it
 * gives the last bytes and drops them when the check fails; the contract reads on to the end of the archive only
 * (spec files.md §7.2), so header and trailer are read here and the deflate data in between by zlib.
 */
import { crc32, createInflateRaw } from 'node:zlib';
import { ArchiveError, unexpectedEnd } from './archive-error.ts';
import type { ByteReader } from './byte-reader.ts';

const headerBytes = 10;
const trailerBytes = 8;
/** Bit of the header's flags. */
const flag = { headerChecksum: 2, extra: 4, name: 8, comment: 16 } as const;
/** Longest file name or comment in a header, with its NUL. */
const longestText = 512;

/** Input is read in pieces of this size. */
export const pieceBytes = 65_536;
/** Size of the output's pieces. With 64 KiB twice as much memory waits for the garbage collector (measured, 2 GiB). */
const outputBytes = 32_768;

const invalidHeader = () => new ArchiveError('gzip: invalid header');

export class GzipReader {
  readonly #input: ByteReader;

  private constructor(input: ByteReader) {
    this.#input = input;
  }

  /**
   * Reads the first header.
   * @throws ArchiveError `EOF`, `unexpected EOF`, `gzip: invalid header`; failures of the input
   */
  static async open(input: ByteReader): Promise<GzipReader> {
    if (!(await readHeader(input))) {
      throw new ArchiveError('EOF');
    }
    return new GzipReader(input);
  }

  /**
   * The unpacked bytes, member after member. Each piece is valid until the next.
   * @throws ArchiveError `unexpected EOF`, `flate: corrupt input before offset <n>`, `gzip: invalid checksum`
   */
  async *pieces(): AsyncGenerator<Buffer, void, undefined> {
    do {
      let sum = 0;
      let length = 0;
      for await (const piece of inflate(this.#input)) {
        sum = crc32(piece, sum);
        length = (length + piece.length) >>> 0;
        yield piece;
      }
      const trailer = await this.#input.exactly(trailerBytes);
      if (trailer.length < trailerBytes) {
        throw unexpectedEnd();
      }
      if (trailer.readUInt32LE(0) !== sum || trailer.readUInt32LE(4) !== length) {
        throw new ArchiveError('gzip: invalid checksum');
      }
    } while (await readHeader(this.#input));
  }
}

/** @returns whether there is a member */
async function readHeader(input: ByteReader): Promise<boolean> {
  const start = await input.exactly(headerBytes);
  if (start.length === 0) {
    return false;
  }
  if (start.length < headerBytes) {
    throw unexpectedEnd();
  }
  if (start[0] !== 0x1f || start[1] !== 0x8b || start[2] !== 8) {
    throw invalidHeader();
  }
  const flags = start[3] ?? 0;
  let sum = crc32(start);

  async function take(length: number): Promise<Buffer> {
    const bytes = await input.exactly(length);
    if (bytes.length < length) {
      throw unexpectedEnd();
    }
    sum = crc32(bytes, sum);
    return bytes;
  }
  async function skipText(): Promise<void> {
    for (let length = 1; (await take(1))[0] !== 0; length++) {
      if (length === longestText) {
        throw invalidHeader();
      }
    }
  }

  if (flags & flag.extra) {
    await take((await take(2)).readUInt16LE(0));
  }
  if (flags & flag.name) {
    await skipText();
  }
  if (flags & flag.comment) {
    await skipText();
  }
  if (flags & flag.headerChecksum) {
    const expected = sum & 0xffff;
    if ((await take(2)).readUInt16LE(0) !== expected) {
      throw invalidHeader();
    }
  }
  return true;
}

/**
 * One run of deflate data; what follows it stays in the input. A stream that fails drops the bytes that nobody has taken
 * from it, so each piece is taken as soon as there is one; at most two pieces wait here. The piece in which the damage
 * lies is lost as a whole, so a failure is told up to one piece too early.
 */
async function* inflate(input: ByteReader): AsyncGenerator<Buffer, void, undefined> {
  const stream = createInflateRaw({ chunkSize: outputBytes });
  const waiting: Buffer[] = [];
  let ended = false;
  let failure: unknown;
  let wake = () => {};
  let endWrite = () => {};

  stream.on('data', (piece: Buffer) => {
    waiting.push(piece);
    stream.pause();
    wake();
  });
  stream.on('end', () => {
    ended = true;
    wake();
  });
  stream.on('error', (error) => {
    failure ??= error;
    wake();
  });
  // A stream that is destroyed during a write never calls the callback of that write.
  stream.on('close', () => endWrite());
  const feeding = feed().catch((error) => {
    failure ??= error;
    wake();
  });

  async function feed(): Promise<void> {
    let fed = 0;
    for (;;) {
      const piece = await input.some(pieceBytes);
      if (stream.destroyed) {
        return;
      }
      if (piece === undefined) {
        stream.end();
        return;
      }
      await new Promise<void>((resolve, reject) => {
        endWrite = resolve;
        stream.write(piece, (error) => (error ? reject(error) : resolve()));
      });
      if (stream.destroyed) {
        return;
      }
      fed += piece.length;
      const rest = fed - stream.bytesWritten;
      if (rest > 0) {
        input.putBack(piece.subarray(piece.length - rest));
        return;
      }
    }
  }

  try {
    for (;;) {
      const piece = waiting.shift();
      if (piece !== undefined) {
        yield piece;
      } else if (failure !== undefined) {
        throw asArchiveError(failure, stream.bytesWritten);
      } else if (ended) {
        await feeding;
        return;
      } else {
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        stream.resume();
        await woken;
      }
    }
  } finally {
    stream.destroy();
    // Wait for a read of the input that is still running: our caller closes the input next.
    await feeding;
  }
}

function asArchiveError(error: unknown, offset: number): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'Z_BUF_ERROR') {
    return unexpectedEnd();
  }
  if (code === 'Z_DATA_ERROR') {
    return new ArchiveError(`flate: corrupt input before offset ${offset}`);
  }
  return error;
}
