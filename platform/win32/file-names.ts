/** How Windows names files (platform/files.ts says what is promised). */
import type { FileNames } from '../files.ts';
import type { Paths } from '../paths.ts';
import { isDeviceName } from './path-spelling.ts';
import { sentenceOf } from './system-errors.ts';

/** Longest path in UTF-16 units; no path has more of them than it has bytes. */
const longestPath = 32_767;
const errorPathNotFound = 3;

export function createFileNames(paths: Paths): FileNames {
  return {
    longestPath,
    inTheWay: { file: sentenceOf(errorPathNotFound), folder: paths.reasonForCode('EISDIR') },
    splitEntryName,
    isReservedName,
  };
}

const separators: readonly (number | undefined)[] = [0x2f, 0x5c];

function splitEntryName(name: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (let at = 0; at <= name.length; at++) {
    if (at < name.length && !separators.includes(name[at])) {
      continue;
    }
    parts.push(name.subarray(start, at));
    start = at + 1;
  }
  return parts;
}

function isReservedName(part: Buffer): boolean {
  const text = part.toString();
  return text.includes(':') || isDeviceName(text);
}
