/** Records of a PAX extended header, as bytes: names need not be UTF-8 and may hold line ends. */
import { ArchiveError } from './archive-error.ts';

export interface PaxRecords {
  readonly path?: Buffer;
  /** Bytes of content. */
  readonly size?: number;
  /** The file is stored as the pieces between its holes, so its content is not what it looks like. */
  readonly sparse: boolean;
}

const space = 0x20;
const equals = 0x3d;
const lineEnd = 0x0a;
/** Digits of the longest length that is worth reading. */
const longestLength = 7;

/**
 * Reads `<length> <key>=<value>\n` records; a later one replaces an earlier one, an empty value counts as not given.
 * @throws ArchiveError
 */
export function readPax(bytes: Buffer): PaxRecords {
  let path: Buffer | undefined;
  let size: number | undefined;
  let sparse = false;
  let at = 0;
  while (at < bytes.length) {
    const lengthEnd = bytes.indexOf(space, at);
    const length = readDecimal(bytes.toString('latin1', at, lengthEnd === -1 ? at : lengthEnd));
    const end = at + length;
    const split = bytes.indexOf(equals, lengthEnd);
    if (end > bytes.length || bytes[end - 1] !== lineEnd || split <= lengthEnd + 1 || split >= end) {
      throw invalid();
    }
    const key = bytes.toString('latin1', lengthEnd + 1, split);
    const value = bytes.subarray(split + 1, end - 1);
    if (key === 'path') {
      if (value.includes(0)) {
        throw invalid();
      }
      path = value.length === 0 ? undefined : value;
    } else if (key === 'size') {
      size = value.length === 0 ? undefined : readDecimal(value.toString('latin1'), Number.MAX_SAFE_INTEGER);
    } else if (key.startsWith('GNU.sparse.')) {
      sparse = true;
    }
    at = end;
  }
  return { ...(path && { path }), ...(size !== undefined && { size }), sparse };
}

function readDecimal(text: string, most = 10 ** longestLength): number {
  const value = /^\d{1,19}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= most)) {
    throw invalid();
  }
  return value;
}

const invalid = () => new ArchiveError('archive/tar: invalid tar header');
