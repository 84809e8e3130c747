/** Handles on their way to descriptors and sockets. */
import { closeSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import * as node from '../../native-bindings/node.ts';
import { leadsElsewhere } from './reparse-tags.ts';
import { lastError, WindowsError } from './system-errors.ts';

/** @throws WindowsError when a call that reports failure as NULL or INVALID_HANDLE_VALUE gave none */
export function opened(handle: Handle | null, call: string): Handle {
  if (handle === null || handle === kernel32.INVALID_HANDLE_VALUE) {
    throw lastError(call);
  }
  return handle;
}

/** The null device for reading and writing. @throws WindowsError */
export function openNullDevice(): Handle {
  return opened(
    kernel32.CreateFileW(
      'NUL',
      kernel32.GENERIC_READ | kernel32.GENERIC_WRITE,
      kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE,
      null,
      kernel32.OPEN_EXISTING,
      0,
      null,
    ),
    'CreateFile NUL',
  );
}

const errorTooManyOpenFiles = 4;

/**
 * A descriptor that owns the handle. The runtime's table has 8192 of them.
 * @throws WindowsError; the handle is closed then
 */
export function toDescriptor(handle: Handle): number {
  const fd = node.uv_open_osfhandle(handle);
  if (fd >= 0) {
    return fd;
  }
  kernel32.CloseHandle(handle);
  throw new WindowsError('uv_open_osfhandle', errorTooManyOpenFiles);
}

/**
 * A socket on libuv's loop over our end of a pipe. The socket owns the handle.
 * @throws WindowsError or Node's error; the handle is closed then
 */
export function toSocket(handle: Handle, options: SocketConstructorOpts): Socket {
  const fd = toDescriptor(handle);
  try {
    return new Socket({ ...options, fd });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Reads an 8-byte handle out of a structure. */
export function handleAt(structure: Buffer, offset: number): Handle {
  return structure.readBigUInt64LE(offset) as Handle;
}

/**
 * Whether an opened entry is a folder, and whether it is a link of any kind: one that leads elsewhere. One whose tag
 * cannot be read counts as a link. @throws WindowsError
 */
export function entryKindOf(handle: Handle): { readonly isFolder: boolean; readonly isLink: boolean } {
  const attributes = attributesOf(handle);
  return {
    isFolder: (attributes & kernel32.FILE_ATTRIBUTE_DIRECTORY) !== 0,
    isLink: (attributes & kernel32.FILE_ATTRIBUTE_REPARSE_POINT) !== 0 && tagLeadsElsewhere(handle),
  };
}

function tagLeadsElsewhere(handle: Handle): boolean {
  const information = Buffer.alloc(kernel32.FILE_ATTRIBUTE_TAG_INFO_BYTES);
  const isRead = kernel32.GetFileInformationByHandleEx(
    handle,
    kernel32.FileAttributeTagInfo,
    information,
    information.length,
  );
  return isRead === 0 || leadsElsewhere(information.readUInt32LE(4));
}

/** FILE_ATTRIBUTE_... of an opened file or folder. @throws WindowsError */
function attributesOf(handle: Handle): number {
  const information = Buffer.alloc(kernel32.BY_HANDLE_FILE_INFORMATION_BYTES);
  if (!kernel32.GetFileInformationByHandle(handle, information)) {
    throw lastError('GetFileInformationByHandle');
  }
  return information.readUInt32LE(0);
}
