/** Which submodules an index names. */
import type { Paths } from '../../../platform/paths.ts';
import { openRegular, targetOf } from '../run/control-files.ts';
import { GitFailure, LimitReached } from '../run/failures.ts';
import { nulParts } from '../run/output-text.ts';

/** Mode of a submodule in an index and in a tree. */
export const submoduleMode = '160000';
/** More than an index of ten million files has. */
const maxIndexBytes = 1_073_741_824;
/** Bound for the list of a whole index, which we read and do not pass on. It is enough for three million files. */
export const maxIndexListBytes = 268_435_456;

/** Extensions behind which an index may have more entries: the name, and the first byte of a size below 16 MiB. */
const extensions = [Buffer.from('link\0'), Buffer.from('sdir\0')];
/** So many bytes of one piece are kept for the next one: one less than the longest pattern has. */
const overlap = 4;

/**
 * git reads all of an index, so what is no file, or too large to be one that git wrote, is refused.
 * @throws GitFailure `notRun`, LimitReached
 */
export async function checkIndex(index: string): Promise<void> {
  const found = await targetOf(index);
  if (found !== undefined && !found.isFile()) {
    throw new GitFailure('notRun', `git not run: ${index} is not a regular file`);
  }
  if (found !== undefined && found.size > maxIndexBytes) {
    throw new LimitReached(
      `git not run: ${index} is larger than ${maxIndexBytes} bytes, the most that is read of an index; make it anew (git read-tree HEAD)`,
    );
  }
}

/**
 * Whether the index may name submodules. This look is quick; most indexes name none, and git takes as long to list a large
 * index as for the status itself. The answer may be a wrong yes, never a wrong no.
 */
export async function mayNameSubmodules(index: string, paths: Paths): Promise<boolean> {
  const opened = await openRegular(index, paths, { maxBytes: maxIndexBytes, followLinks: true });
  if (opened.state !== 'open') {
    return opened.state !== 'missing';
  }
  const { file } = opened;
  try {
    const piece = Buffer.alloc(1_048_576 + overlap);
    let kept = 0;
    for (;;) {
      const { bytesRead } = await file.read(piece, kept, piece.length - kept, null);
      if (bytesRead === 0) {
        return false;
      }
      const seen = piece.subarray(0, kept + bytesRead);
      if (hasSubmoduleMode(seen) || extensions.some((mark) => seen.includes(mark))) {
        return true;
      }
      kept = Math.min(overlap, seen.length);
      seen.copy(piece, 0, seen.length - kept);
    }
  } finally {
    await file.close();
  }
}

/** Looks for the mode 0o160000 as an index writes it, by its third byte: the others are zeros, of which an index is full. */
function hasSubmoduleMode(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(0xe0, 2); at >= 0; at = bytes.indexOf(0xe0, at + 1)) {
    if (bytes[at - 2] === 0 && bytes[at - 1] === 0 && bytes[at + 1] === 0) {
      return true;
    }
  }
  return false;
}

/** Names of the submodules in the output of `git ls-files -s -z`. */
export function submodulesInIndex(output: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (const record of nulParts(output)) {
    const tab = record.indexOf(0x09);
    if (tab > 0 && record.toString('latin1', 0, 6) === submoduleMode) {
      names.push(record.subarray(tab + 1));
    }
  }
  return names;
}
