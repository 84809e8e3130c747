/** A file that is gone with its last handle (`RunDirectories.openNameless`). The folder's access list makes it its owner's. */

import { openSync, unlinkSync } from 'node:fs';
import { win32 } from 'node:path';
import { randomHex } from './random.ts';

export function openNameless(folder: string): number {
  const path = win32.join(folder, `.spool-${randomHex(8)}`);
  const fd = openSync(path, 'wx+', 0o600);
  // The runtime opens files so that they can be deleted while they are open; the handle goes on working.
  unlinkSync(path);
  return fd;
}
