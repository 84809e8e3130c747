/** Who can decide what lies at a path. Owners are judged; what the folder's access list lets others do is not. */
import { win32 } from 'node:path';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { HostError } from '../errors.ts';
import type { Trust } from '../trust.ts';
import { opened } from './handles.ts';
import { currentUser, ownerOf } from './security.ts';

/**
 * Administrators, the system, and the installer of Windows, which owns the folders of programs: each of them can read our
 * memory anyway.
 */
const trustedOwners: readonly string[] = [
  'S-1-5-32-544',
  'S-1-5-18',
  'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464',
];

export function createTrust(): Trust {
  return {
    assertOnlyOurs(path, remedy) {
      const absolute = win32.resolve(path);
      for (const entry of [win32.dirname(absolute), absolute]) {
        const handle = openToJudge(entry);
        if (handle === undefined) {
          return;
        }
        try {
          // Windows itself owns the root of a drive.
          if (win32.dirname(entry) !== entry) {
            assertOwner(entry, handle, remedy);
          }
        } finally {
          kernel32.CloseHandle(handle);
        }
      }
    },
    mayOthersRead: () => false,
  };
}

/** A link is followed. @returns `undefined` when the entry is missing or may not be looked at */
function openToJudge(path: string): Handle | undefined {
  try {
    return opened(
      kernel32.CreateFileW(
        win32.toNamespacedPath(path),
        kernel32.READ_CONTROL,
        kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE | kernel32.FILE_SHARE_DELETE,
        null,
        kernel32.OPEN_EXISTING,
        kernel32.FILE_FLAG_BACKUP_SEMANTICS,
        null,
      ),
      'CreateFile',
    );
  } catch {
    return undefined;
  }
}

/** @param handle of the entry, opened with READ_CONTROL. @throws HostError when it belongs to another user */
export function assertOwner(path: string, handle: Handle, remedy: string): void {
  const user = currentUser();
  const owner = ownerOf(handle, 'file');
  if (owner === user || trustedOwners.includes(owner)) {
    return;
  }
  throw new HostError(`${path} belongs to user ${owner}, not to user ${user}`, remedy);
}
