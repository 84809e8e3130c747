/** How Linux and macOS name files (platform/files.ts says what is promised). */
import type { FileNames } from '../files.ts';
import type { Paths } from '../paths.ts';
import type { PosixSystem } from './system.ts';

/** PATH_MAX less the terminating NUL. */
const longestPath = { linux: 4095, darwin: 1023 } as const;

const slash = 0x2f;

export function createFileNames(os: PosixSystem, paths: Paths): FileNames {
  return {
    longestPath: longestPath[os],
    inTheWay: { file: paths.reasonForCode('ENOTDIR'), folder: paths.reasonForCode('EEXIST') },
    splitEntryName,
    isReservedName: () => false,
  };
}

function splitEntryName(name: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (;;) {
    const end = name.indexOf(slash, start);
    parts.push(name.subarray(start, end === -1 ? name.length : end));
    if (end === -1) {
      return parts;
    }
    start = end + 1;
  }
}
