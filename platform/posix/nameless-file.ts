/** A file without a name (`RunDirectories.openNameless`). */

import { constants, openSync, unlinkSync } from 'node:fs';
import { DirectoryHandle } from './directory-handle.ts';
import { exclusiveCreate } from './plain-file.ts';
import { randomHex } from './random.ts';

export function openNameless(folder: string): number {
  const directory = DirectoryHandle.openTrusted(folder);
  try {
    const path = directory.at(`.spool-${randomHex(8)}`);
    const fd = openSync(path, constants.O_RDWR | exclusiveCreate, 0o600);
    unlinkSync(path);
    return fd;
  } finally {
    directory.close();
  }
}
