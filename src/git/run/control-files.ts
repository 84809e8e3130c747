/** Reading git's own small files without being led astray or held up: no link is followed, no FIFO waited for. */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, stat } from 'node:fs/promises';
import type { Paths } from '../../../platform/paths.ts';

export type SmallFile =
  | { readonly state: 'read'; readonly bytes: Buffer }
  | { readonly state: 'missing' | 'notRegular' | 'tooLarge' }
  | { readonly state: 'failed'; readonly reason: string };

/** More than any file that git writes beside `HEAD` has. */
export const smallFileBytes = 1_048_576;

export interface ReadOptions {
  readonly maxBytes?: number;
  readonly followLinks?: boolean;
}

/** Windows has none of the two flags and no such files. */
const withoutWaiting = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
const withoutFollowing = constants.O_NOFOLLOW ?? 0;

/** Opens a regular file; the caller closes it. */
export async function openRegular(
  path: string | Buffer,
  paths: Paths,
  options: ReadOptions = {},
): Promise<
  Exclude<SmallFile, { state: 'read' }> | { readonly state: 'open'; readonly file: FileHandle; readonly status: Stats }
> {
  let file: FileHandle;
  try {
    file = await open(path, withoutWaiting | (options.followLinks ? 0 : withoutFollowing));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      return { state: 'missing' };
    }
    // A link where none is followed (ELOOP, on some systems EMLINK), a socket (ENXIO), a folder (Windows).
    if (['ELOOP', 'EMLINK', 'ENXIO', 'EISDIR'].includes(code)) {
      return { state: 'notRegular' };
    }
    return { state: 'failed', reason: paths.reason(error) };
  }
  const status = await file.stat();
  if (!status.isFile()) {
    await file.close();
    return { state: 'notRegular' };
  }
  if (status.size > (options.maxBytes ?? smallFileBytes)) {
    await file.close();
    return { state: 'tooLarge' };
  }
  return { state: 'open', file, status };
}

export async function readSmallFile(path: string, paths: Paths, options: ReadOptions = {}): Promise<SmallFile> {
  const opened = await openRegular(path, paths, options);
  if (opened.state !== 'open') {
    return opened;
  }
  const { file } = opened;
  try {
    const most = options.maxBytes ?? smallFileBytes;
    const buffer = Buffer.alloc(Math.min(opened.status.size, most) + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) {
        break;
      }
      length += bytesRead;
    }
    // It grew while it was read: nothing git wrote.
    if (length > most) {
      return { state: 'tooLarge' };
    }
    return { state: 'read', bytes: buffer.subarray(0, length) };
  } catch (error) {
    return { state: 'failed', reason: paths.reason(error) };
  } finally {
    await file.close();
  }
}

/** Content of a small file as text; `undefined` for anything that is not one. */
export async function readSmallText(
  path: string,
  paths: Paths,
  options: ReadOptions = {},
): Promise<string | undefined> {
  const file = await readSmallFile(path, paths, options);
  return file.state === 'read' ? file.bytes.toString() : undefined;
}

/** Of the entry itself. `undefined` when there is none, or it cannot be looked at. */
export async function entryAt(path: string | Buffer): Promise<Stats | undefined> {
  return lstat(path).catch(() => undefined);
}

/** Of what the path leads to. */
export async function targetOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch(() => undefined);
}
