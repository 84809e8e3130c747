/** The work of `files.read` (spec files.md §5). */
import { constants } from 'node:buffer';
import { SystemCallError } from '../../platform/errors.ts';
import type { FileStatus, ReadableFile } from '../../platform/files.ts';
import { FilesFailure } from './failure.ts';
import type { FilesServices } from './services.ts';
import { undefinedIfMissing } from './system-failures.ts';

/** Limit where the request gives none, in bytes. */
const defaultMaxBytes = 262_144n;

/**
 * Most bytes taken from a file that does not tell its size (`/proc/…`), to which the limit does not apply: some of
 * them, such as `/proc/self/pagemap`, go on for hundreds of gigabytes.
 */
const mostWithoutSize = 64 * 1024 * 1024;

const leastPiece = 4096;
const largestPiece = 1024 * 1024;

export interface FileContent {
  /** The path that was opened; error texts name it. */
  readonly path: string;
  readonly content: Buffer;
}

/**
 * The whole content or a failure, never a part.
 * @param maxBytes zero or less: the default
 * @returns `undefined` when the path does not exist
 * @throws FilesFailure, SystemCallError
 */
export async function readFile(
  pathParam: string,
  maxBytes: bigint | undefined,
  { platform: { files, paths }, profile, settings }: FilesServices,
): Promise<FileContent | undefined> {
  const path = paths.expandTilde(pathParam);
  const { readFirst, readNonRegular, readRegularOnlyFlag } = profile.files;
  const refuseAll = readNonRegular === 'refuseAll' || (readRegularOnlyFlag && settings.filesReadRegularOnly);
  const limit = maxBytes === undefined || maxBytes <= 0n ? defaultMaxBytes : maxBytes;

  if (readFirst === 'stat') {
    const found = await undefinedIfMissing(files.status(path));
    if (found === undefined) {
      return undefined;
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
    return undefined;
  }
  try {
    // Test the open file again: since the first look the path may have come to lead to another one.
    const opened = await file.status();
    refuseFolder(opened);
    refuseSpecial(opened, refuseAll);
    refuseSize(opened, limit);
    return { path, content: await readContent(file, path, opened.size, limit) };
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

async function readContent(file: ReadableFile, path: string, size: number, limit: bigint): Promise<Buffer> {
  const most = size === 0 ? mostWithoutSize : constants.MAX_STRING_LENGTH;
  if (size > most) {
    throw tooLargeForReply(path, most);
  }
  const pieces: Buffer[] = [];
  let total = 0;
  for (;;) {
    // Room for one byte more than the file should have left, so that a file that has grown is noticed.
    const piece = Buffer.allocUnsafe(Math.min(largestPiece, Math.max(leastPiece, size + 1 - total)));
    const got = await file.read(piece);
    if (got === 0) {
      break;
    }
    pieces.push(piece.subarray(0, got));
    total += got;
    // A file may grow while it is read: it still fits the limit, or the request fails (spec files.md §5).
    if (size > 0) {
      refuseSize({ size: total }, limit);
    }
    if (total > most) {
      throw tooLargeForReply(path, most);
    }
  }
  const [first] = pieces;
  return first !== undefined && pieces.length === 1 ? first : Buffer.concat(pieces, total);
}

/** @param most bytes of the file, or characters of the reply, that are possible at most */
export function tooLargeForReply(path: string, most: number): SystemCallError {
  return new SystemCallError(
    `read ${path}: file too large: at most ${most} bytes fit a reply; read it in another way`,
    'EFBIG',
  );
}
