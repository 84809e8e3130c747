import type { Paths } from '../../../platform/paths.ts';
import { openRegular } from '../run/control-files.ts';

/** Extensions behind which an index may have more entries: the name, and the first byte of a size below 16 MiB. */
const extensions = [Buffer.from('link\0'), Buffer.from('sdir\0')];
/** One less than the longest of what is looked for. */
const overlap = 4;

/**
 * Whether the index may name submodules: quick, because most name none and listing a large index costs as much as the
 * status itself. May say yes for no reason, never no.
 */
export async function mayNameSubmodules(index: string, paths: Paths): Promise<boolean> {
  const opened = await openRegular(index, paths, { maxBytes: Number.MAX_SAFE_INTEGER, followLinks: true });
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

/** The mode of a submodule, 0o160000, as an index writes it. Looked for by its third byte: an index is full of zeros. */
function hasSubmoduleMode(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(0xe0, 2); at >= 0; at = bytes.indexOf(0xe0, at + 1)) {
    if (bytes[at - 2] === 0 && bytes[at - 1] === 0 && bytes[at + 1] === 0) {
      return true;
    }
  }
  return false;
}
