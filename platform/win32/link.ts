/** Links: symbolic links, junctions, mounted volumes and their kin. */
import { readlinkSync } from 'node:fs';
import { win32 } from 'node:path';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { entryKindOf } from './handles.ts';

/** Whether the entry itself is a link of any kind, one that leads elsewhere; `false` when it cannot be looked at. */
export function isLink(path: string): boolean {
  const handle = kernel32.CreateFileW(
    win32.toNamespacedPath(win32.resolve(path)),
    kernel32.FILE_READ_ATTRIBUTES,
    kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE | kernel32.FILE_SHARE_DELETE,
    null,
    kernel32.OPEN_EXISTING,
    kernel32.FILE_FLAG_BACKUP_SEMANTICS | kernel32.FILE_FLAG_OPEN_REPARSE_POINT,
    null,
  );
  if (handle === kernel32.INVALID_HANDLE_VALUE) {
    return false;
  }
  try {
    return entryKindOf(handle).isLink;
  } catch {
    return false;
  } finally {
    kernel32.CloseHandle(handle);
  }
}

/** Whether a link is a place where another volume is mounted, and not a name for a path. */
export function isMountPoint(link: string): boolean {
  try {
    return /^\\\\\?\\Volume\{/i.test(readlinkSync(link));
  } catch {
    // Node reads every other kind of link; it has no path to tell for a volume without a letter.
    return true;
  }
}
