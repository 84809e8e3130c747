/** Decompression of a zstd file, frame by frame, by Node's decoder or, where that is missing, by fzstd. */
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { InstallFailure } from './failure.ts';
import { type FramePiece, FrameSplitter } from './zstd-frames.ts';

/** Decodes one frame. */
export interface FrameDecoder {
  readonly maxWindowBytes: number;
  /** Completes "window of ... bytes exceeds ...". */
  readonly windowLimit: string;
  /** What the decoder does not do, for the log; `undefined` when it does everything. */
  readonly shortcoming: string | undefined;
  decode(frame: AsyncGenerator<Buffer>): AsyncGenerator<Buffer>;
}

/** The default limit of zstd itself: a file with a wider window needs an option of every reader. */
const windowLog = 27;

/** Room for eight blocks. */
const outputChunkBytes = 1 << 20;

const createZstdDecompress: ((options: zlib.ZstdOptions) => Transform) | undefined = zlib.createZstdDecompress;

/** Node's decoder (libzstd), which verifies the frame's checksum. `undefined`: this Node.js was built without it. */
export const nodeDecoder: FrameDecoder | undefined =
  createZstdDecompress === undefined
    ? undefined
    : {
        maxWindowBytes: 2 ** windowLog,
        windowLimit: `the limit of ${2 ** windowLog} bytes`,
        shortcoming: undefined,
        async *decode(frame) {
          const decoder = createZstdDecompress({
            chunkSize: outputChunkBytes,
            params: { [zlib.constants.ZSTD_d_windowLogMax]: windowLog },
          });
          // A failure here also ends the loop below, which reports it.
          const feeding = pipeline(frame, decoder).catch(() => {});
          yield* decoder as AsyncIterable<Buffer>;
          await feeding;
        },
      };

/**
 * fzstd 0.1.1: no checksum of the content is verified, and matches farther back than about 96 MiB come out as wrong bytes
 * without an error (101arrowz/fzstd#19), so wider windows are refused.
 */
export const fallbackDecoder: FrameDecoder = {
  maxWindowBytes: 2 ** 26,
  windowLimit: `${2 ** 26} bytes, the most the fallback decoder can be trusted with; Node.js 22.15 and newer have a better one`,
  shortcoming: "this Node.js has no zstd decoder; the fallback does not verify the content's own checksum",
  async *decode(frame) {
    const { Decompress } = await import('fzstd');
    const ready: Buffer[] = [];
    const decoder = new Decompress((bytes) => {
      if (bytes.length > 0) {
        ready.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      }
    });
    for await (const piece of frame) {
      decoder.push(piece);
      yield* ready.splice(0);
    }
    decoder.push(new Uint8Array(0), true);
    yield* ready.splice(0);
  },
};

/** Node's decoder where there is one. */
export const usualDecoder: FrameDecoder = nodeDecoder ?? fallbackDecoder;

/**
 * The content of a zstd file: all its frames, one after the other.
 * @throws InstallFailure with the decoder's words, or whatever reading `source` throws
 */
export async function* decompress(source: AsyncIterable<Buffer>, decoder: FrameDecoder): AsyncGenerator<Buffer> {
  const pieces = split(source);
  try {
    for (let step = await pieces.next(); step.done !== true; step = await pieces.next()) {
      if (step.value.kind !== 'start') {
        continue;
      }
      const { windowBytes } = step.value;
      if (windowBytes > decoder.maxWindowBytes) {
        throw new InstallFailure(`window of ${windowBytes} bytes exceeds ${decoder.windowLimit}`);
      }
      yield* decodeFrame(bytesOfFrame(pieces), decoder);
    }
  } finally {
    await pieces.return(undefined);
  }
}

async function* split(source: AsyncIterable<Buffer>): AsyncGenerator<FramePiece> {
  const splitter = new FrameSplitter();
  for await (const chunk of source) {
    yield* splitter.push(chunk);
  }
  splitter.finish();
}

/** The bytes up to the end of the frame. The pieces behind it stay for the next frame. */
async function* bytesOfFrame(pieces: AsyncGenerator<FramePiece>): AsyncGenerator<Buffer> {
  for (;;) {
    const { done, value } = await pieces.next();
    if (done === true || value.kind === 'end') {
      return;
    }
    if (value.kind === 'bytes') {
      yield value.bytes;
    }
  }
}

async function* decodeFrame(frame: AsyncGenerator<Buffer>, decoder: FrameDecoder): AsyncGenerator<Buffer> {
  try {
    yield* decoder.decode(frame);
  } catch (error) {
    throw isDecoderError(error) ? new InstallFailure((error as Error).message, { cause: error }) : error;
  }
}

/** An error of Node's decoder carries the name of libzstd's error, one of fzstd a number. */
function isDecoderError(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'number' || (typeof code === 'string' && /^Z(STD_error)?_/.test(code));
}
