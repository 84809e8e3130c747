/** `files.read` (spec files.md §5). */
import { constants } from 'node:buffer';
import { SystemCallError } from '../../platform/errors.ts';
import type { FileStatus, ReadableFile } from '../../platform/files.ts';
import { RpcError } from '../doors/rpc/errors.ts';
import { JsonText, type ResultObject } from '../wire/json.ts';
import { encodeBytes } from '../wire/json-writer.ts';
import type { FilesServices } from './services.ts';
import { isMissing, systemError } from './stat.ts';

/** Limit where the request gives none, in bytes. */
const defaultMaxBytes = 262_144n;

/**
 * Most bytes taken from a file that does not tell its size (`/proc/…`), to which the limit does not apply: some of
 * them, such as `/proc/self/pagemap`, go on for hundreds of gigabytes.
 */
const mostWithoutSize = 64 * 1024 * 1024;

const leastPiece = 4096;
const largestPiece = 1024 * 1024;

/**
 * The whole content or a refusal, never a part.
 * @param maxBytes zero or less: the default
 * @throws RpcError
 */
export async function readFile(
  path: string,
  maxBytes: bigint | undefined,
  services: FilesServices,
): Promise<ResultObject> {
  try {
    const content = await readAllowed(services.platform.paths.expandTilde(path), maxBytes, services);
    return content === undefined ? { content: '', exists: false } : { content, exists: true };
  } catch (error) {
    throw error instanceof SystemCallError ? systemError(error) : error;
  }
}

/** @returns the content as a JSON literal; `undefined`: there is no such file */
async function readAllowed(
  path: string,
  maxBytes: bigint | undefined,
  { platform: { files }, profile, settings }: FilesServices,
): Promise<JsonText | undefined> {
  const { readFirst, readNonRegular, readRegularOnlyFlag } = profile.files;
  const refuseAll = readNonRegular === 'refuseAll' || (readRegularOnlyFlag && settings.filesReadRegularOnly);
  const limit = maxBytes === undefined || maxBytes <= 0n ? defaultMaxBytes : maxBytes;

  if (readFirst === 'stat') {
    const found = await orMissing(files.status(path));
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
  const file = await (readFirst === 'open' ? orMissing(opening) : opening);
  if (file === undefined) {
    return undefined;
  }
  try {
    // What was opened counts: since the first look the path may have come to lead elsewhere.
    const opened = await file.status();
    refuseFolder(opened);
    refuseSpecial(opened, refuseAll);
    refuseSize(opened, limit);
    return await readContent(file, path, opened.size, limit);
  } finally {
    await file.close();
  }
}

async function orMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  }
}

function refuseFolder({ kind }: FileStatus): void {
  if (kind === 'directory') {
    throw new RpcError('invalidParams', 'files.read: path is a directory');
  }
}

/** @param all the null device too, which otherwise reads as empty */
function refuseSpecial({ kind, isNullDevice }: FileStatus, all: boolean): void {
  if (kind === 'file' || (isNullDevice && !all)) {
    return;
  }
  throw new RpcError('invalidParams', 'files.read: not a regular file');
}

function refuseSize({ size }: Pick<FileStatus, 'size'>, limit: bigint): void {
  if (BigInt(size) > limit) {
    throw new RpcError('invalidParams', 'files.read: file exceeds maxBytes');
  }
}

async function readContent(file: ReadableFile, path: string, size: number, limit: bigint): Promise<JsonText> {
  const most = size === 0 ? mostWithoutSize : constants.MAX_STRING_LENGTH;
  if (size > most) {
    throw tooLarge(path, most);
  }
  const pieces: Buffer[] = [];
  let total = 0;
  for (;;) {
    // One byte more than expected, so that a file of the size it tells needs no second buffer to find its end.
    const piece = Buffer.allocUnsafe(Math.min(largestPiece, Math.max(leastPiece, size + 1 - total)));
    const got = await file.read(piece);
    if (got === 0) {
      break;
    }
    pieces.push(piece.subarray(0, got));
    total += got;
    // A file that tells its size and grew: it fits or the request fails (spec files.md §5).
    if (size > 0) {
      refuseSize({ size: total }, limit);
    }
    if (total > most) {
      throw tooLarge(path, most);
    }
  }
  try {
    return new JsonText(encodeBytes(Buffer.concat(pieces, total)));
  } catch (error) {
    // Escapes can make the text longer than any string may be.
    if (error instanceof RangeError || (error as NodeJS.ErrnoException).code === 'ERR_STRING_TOO_LONG') {
      throw tooLarge(path, constants.MAX_STRING_LENGTH);
    }
    throw error;
  }
}

function tooLarge(path: string, most: number): SystemCallError {
  return new SystemCallError(
    `read ${path}: file too large: at most ${most} bytes fit a reply; read it in another way`,
    'EFBIG',
  );
}
