/** The work of `files.read` (spec files.md §5). */
import { constants } from 'node:buffer';
import { SystemCallError } from '../../platform/errors.ts';
import type { FileStatus, ReadableFile } from '../../platform/files.ts';
import { Turns } from '../base/take-turns.ts';
import { FilesFailure } from './failure.ts';
import type { FilesServices } from './services.ts';
import { undefinedIfMissing } from './system-failures.ts';

/** Limit where the request gives none, in bytes. */
const defaultMaxBytes = 262_144n;

/**
 * Most bytes taken from a file that does not tell its size (`/proc/...`), to which the limit does not apply: some of
 * them, such as `/proc/self/pagemap`, go on for hundreds of gigabytes.
 */
const mostWithoutSize = 64 * 1024 * 1024;

const leastPiece = 4096;
const largestPiece = 1024 * 1024;
/** So much is handed on at once: making a reply of it holds nobody else up. */
const handedOnBytes = 128 * 1024;

/** Where the content of a file goes. */
export interface ContentSink {
  /** Resolves when about so many bytes may be read. */
  room(bytes: number): Promise<void>;
  /** @param piece valid during the call only @returns `false`: no reply can be so long */
  add(piece: Buffer): boolean;
}

/**
 * The whole content or a failure, never a part.
 * @param maxBytes zero or less: the default
 * @returns whether the path exists
 * @throws FilesFailure, SystemCallError, and what the sink throws
 */
export async function readFile(
  pathParam: string,
  maxBytes: bigint | undefined,
  sink: ContentSink,
  { platform: { files, paths }, profile, settings }: FilesServices,
): Promise<boolean> {
  const path = paths.expandTilde(pathParam);
  const { readFirst, readNonRegular, readRegularOnlyFlag } = profile.files;
  const refuseAll = readNonRegular === 'refuseAll' || (readRegularOnlyFlag && settings.filesReadRegularOnly);
  const limit = maxBytes === undefined || maxBytes <= 0n ? defaultMaxBytes : maxBytes;

  if (readFirst === 'stat') {
    const found = await undefinedIfMissing(files.status(path));
    if (found === undefined) {
      return false;
    }
    refuseFolder(found);
    if (refuseAll) {
      refuseSpecial(found, refuseAll);
    }
    refuseSize(found, limit);
  }
  const opening = files.openForReading(path);
  const file = await (readFirst === 'open' ? undefinedIfMissing(opening) : opening);
  if (file === undefined) {
    return false;
  }
  try {
    // Test the open file again: since the first look the path may have come to lead to another one.
    const opened = await file.status();
    refuseFolder(opened);
    refuseSpecial(opened, refuseAll);
    refuseSize(opened, limit);
    await readContent(file, path, opened.size, limit, sink);
    return true;
  } finally {
    await file.close();
  }
}

function refuseFolder({ kind }: FileStatus): void {
  if (kind === 'directory') {
    throw new FilesFailure('isFolder');
  }
}

/** @param all the null device too, which otherwise reads as empty */
function refuseSpecial({ kind, isNullDevice }: FileStatus, all: boolean): void {
  if (kind === 'file' || (isNullDevice && !all)) {
    return;
  }
  throw new FilesFailure('notRegularFile');
}

function refuseSize({ size }: Pick<FileStatus, 'size'>, limit: bigint): void {
  if (BigInt(size) > limit) {
    throw new FilesFailure('overLimit');
  }
}

async function readContent(
  file: ReadableFile,
  path: string,
  size: number,
  limit: bigint,
  sink: ContentSink,
): Promise<void> {
  const most = size === 0 ? mostWithoutSize : constants.MAX_STRING_LENGTH;
  if (size > most) {
    throw tooLargeForReply(path, most);
  }
  await sink.room(size);
  // Room for one byte more than the file should have, so that a file that has grown is noticed.
  const piece = Buffer.allocUnsafe(Math.min(largestPiece, Math.max(leastPiece, size + 1)));
  const turns = new Turns();
  let total = 0;
  for (;;) {
    const got = await file.read(piece);
    if (got === 0) {
      return;
    }
    total += got;
    // A file may grow while it is read: it still fits the limit, or the request fails (spec files.md §5).
    if (size > 0) {
      refuseSize({ size: total }, limit);
    }
    if (total > most) {
      throw tooLargeForReply(path, most);
    }
    for (let at = 0; at < got; at += handedOnBytes) {
      if (!sink.add(piece.subarray(at, Math.min(got, at + handedOnBytes)))) {
        throw tooLargeForReply(path, constants.MAX_STRING_LENGTH);
      }
      await turns.pause();
    }
  }
}

/** @param most bytes of the file, or characters of the reply, that are possible at most */
function tooLargeForReply(path: string, most: number): SystemCallError {
  return new SystemCallError(
    `read ${path}: file too large: at most ${most} bytes fit a reply; read it in another way`,
    'EFBIG',
  );
}
