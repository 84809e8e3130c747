/** The home folder, and whatever contains it, is never removed (spec install.md §8, register entry D2). */
import { lstat, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Paths } from '../../platform/paths.ts';

/**
 * Whether the entry at `path` is or contains the home folder. Both the texts of the paths and the real folders above the
 * home folder are compared. A link does not contain the home folder, because removing a link leaves its target alone.
 * @param home `undefined`: there is no home folder to guard
 */
export async function holdsHome(path: string, home: string | undefined, paths: Paths): Promise<boolean> {
  if (home === undefined) {
    return false;
  }
  const given = resolve(home);
  if (paths.isWithin(given, resolve(path))) {
    return true;
  }
  const entry = await lstat(path, { bigint: true }).catch(() => undefined);
  if (entry === undefined || !entry.isDirectory()) {
    return false;
  }
  const resolved = await realpath(given).catch(() => given);
  for (const folder of new Set([...upwards(given, paths), ...upwards(resolved, paths)])) {
    const found = await stat(folder, { bigint: true }).catch(() => undefined);
    if (found !== undefined && found.dev === entry.dev && found.ino === entry.ino) {
      return true;
    }
  }
  return false;
}

/** The folder and everything above it. */
function upwards(folder: string, paths: Paths): string[] {
  const found = [folder];
  for (let at = folder; !paths.isRoot(at); ) {
    at = paths.directoryOf(at);
    found.push(at);
  }
  return found;
}
