/** Files of the run directory: made for us alone, and never through a link. */
import { win32 } from 'node:path';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { entryKindOf, opened, toDescriptor } from './handles.ts';
import { ownerOnly } from './security.ts';
import { WindowsError } from './system-errors.ts';

/** A file that is neither a folder nor a link nor a device. The descriptor owns the handle. */
export interface PlainFile {
  readonly fd: number;
  readonly handle: Handle;
}

export interface PlainFileOptions {
  /** GENERIC_... and other access rights. */
  readonly access: number;
  /** FILE_SHARE_...: what others may do meanwhile. */
  readonly share: number;
  /** CREATE_NEW, OPEN_EXISTING or OPEN_ALWAYS. */
  readonly disposition: number;
  /** SECURITY_ATTRIBUTES of a file that is made; `null`: what its folder passes on. Default: for us and nobody else. */
  readonly security?: Buffer | null;
}

/** Its errno name is ELOOP, which is what opening a link with O_NOFOLLOW gives elsewhere. */
const errorCannotResolve = 1921;

/** @throws WindowsError; a link, a folder or a device is refused */
export function openPlainFile(path: string, options: PlainFileOptions): PlainFile {
  const { access, share, disposition, security = ownerOnly() } = options;
  const handle = opened(
    kernel32.CreateFileW(
      win32.toNamespacedPath(path),
      access | kernel32.FILE_READ_ATTRIBUTES | kernel32.SYNCHRONIZE,
      share,
      security,
      disposition,
      kernel32.FILE_ATTRIBUTE_NORMAL | kernel32.FILE_FLAG_OPEN_REPARSE_POINT,
      null,
    ),
    'CreateFile',
  );
  try {
    const { isFolder, isLink } = entryKindOf(handle);
    if (isFolder || isLink) {
      throw new WindowsError('CreateFile', errorCannotResolve);
    }
  } catch (error) {
    kernel32.CloseHandle(handle);
    throw error;
  }
  return { fd: toDescriptor(handle), handle };
}
