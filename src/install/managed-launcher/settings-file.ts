/** One file of managed settings, and the launcher it names (spec generation-n2.md §3.3). */
import type { Stats } from 'node:fs';
import { constants, type FileHandle, open, stat } from 'node:fs/promises';
import type { Paths } from '../../../platform/paths.ts';
import { failpointAsync } from '../../base/failpoints.ts';
import { wrapperVariable } from '../../base/launcher-argv.ts';
import { decodeUtf8 } from '../../wire/utf8.ts';

export type SettingsFile =
  /** Also a link that leads nowhere. */
  | 'missing'
  /** `undefined`: the file names no launcher. */
  | { readonly value: string | undefined }
  /** Why the file cannot be read. */
  | { readonly reason: string };

const mostBytes = 2_097_152;
/** Of no effect on a regular file; a FIFO or terminal that was put in its place meanwhile holds nobody up. */
const withoutWaiting = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/** @param path bytes, because a name on the disk need not be UTF-8 */
export async function readSettingsFile(path: Buffer, paths: Pick<Paths, 'reason'>): Promise<SettingsFile> {
  let handle: FileHandle | undefined;
  try {
    // Looked at before it is opened, because opening a device can have effects, and again when it is open.
    const fault = kindFault(await stat(path));
    if (fault !== undefined) {
      return { reason: fault };
    }
    await failpointAsync('launcher.settings.open.before');
    handle = await open(path, withoutWaiting);
    const swapped = kindFault(await handle.stat());
    if (swapped !== undefined) {
      return { reason: swapped };
    }
    const bytes = await readAtMost(handle, mostBytes + 1);
    return bytes.length > mostBytes ? { reason: 'larger than 2 MiB' } : valueIn(textOf(bytes));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : { reason: paths.reason(error) };
  } finally {
    await handle?.close();
  }
}

function kindFault(found: Stats): string | undefined {
  if (found.isDirectory()) {
    return 'is a directory';
  }
  return found.isFile() ? undefined : 'not a regular file';
}

/** The size that a file tells is not asked: it may grow, and files of the kernel tell 0. */
async function readAtMost(handle: FileHandle, most: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (let length = 0; length < most; ) {
    const piece = Buffer.allocUnsafe(Math.min(most - length, 65_536));
    const { bytesRead } = await handle.read(piece, 0, piece.length, null);
    if (bytesRead === 0) {
      break;
    }
    pieces.push(piece.subarray(0, bytesRead));
    length += bytesRead;
  }
  return Buffer.concat(pieces);
}

/** UTF-8, or UTF-16 in little-endian order when its mark says so; a mark is no part of the text. */
function textOf(bytes: Buffer): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) {
    return bytes.toString('utf16le', 2);
  }
  const text = decodeUtf8(bytes, 0, bytes.length, 'replacement');
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

const onlyJsonSpace = /^[ \t\n\r]*$/;

function valueIn(text: string): SettingsFile {
  if (onlyJsonSpace.test(text)) {
    return { value: undefined };
  }
  let settings: unknown;
  try {
    settings = JSON.parse(text);
  } catch {
    return { reason: 'not valid JSON' };
  }
  if (!isObject(settings)) {
    return { reason: 'not a JSON object' };
  }
  const env = member(settings, 'env');
  return {
    value:
      filled(isObject(env) ? member(env, wrapperVariable) : undefined) ?? filled(member(settings, 'processWrapper')),
  };
}

/** A value of another type, and an empty one, count as none. */
function filled(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value.toWellFormed() : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** Never one that every object inherits. */
function member(object: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
