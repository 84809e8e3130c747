/** Reads git's own small files. A link is not followed and a FIFO is not waited for, because others may have put them there. */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, stat } from 'node:fs/promises';
import type { Paths } from '../../../platform/paths.ts';

export type SmallFile =
  | { readonly state: 'read'; readonly bytes: Buffer }
  | { readonly state: 'missing' | 'notRegular' | 'tooLarge' }
  | { readonly state: 'failed'; readonly reason: string };

/** More bytes than any file that git writes beside `HEAD`. */
export const smallFileBytes = 1_048_576;

export interface ReadOptions {
  readonly maxBytes?: number;
  readonly followLinks?: boolean;
}

/** Windows has neither flag. There are no FIFOs there, and making a link takes a privilege. */
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
    // These mean a link that must not be followed (ELOOP, on some systems EMLINK), a socket (ENXIO), a folder (Windows).
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
      // One byte more was asked for than there were.
      if (length === opened.status.size) {
        break;
      }
    }
    // git writes these files in one go, so a file that grew meanwhile is not git's.
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

/** Content of a small file as text; `undefined` when it cannot be read as one. */
export async function readSmallText(
  path: string,
  paths: Paths,
  options: ReadOptions = {},
): Promise<string | undefined> {
  const file = await readSmallFile(path, paths, options);
  return file.state === 'read' ? file.bytes.toString() : undefined;
}

/**
 * Whether there is anything at the path, a link not followed.
 * @throws Node's error when that cannot be told
 */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      return false;
    }
    throw error;
  }
}

/** What is at the path, a link not followed. `undefined` when there is nothing, or it cannot be looked at. */
export async function entryAt(path: string | Buffer): Promise<Stats | undefined> {
  return lstat(path).catch(() => undefined);
}

/** What the path leads to, links followed. `undefined` as for {@link entryAt}. */
export async function targetOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch(() => undefined);
}
