/** Removing a folder in which programs have lived, some of which may be ending still. */
import { rmSync } from 'node:fs';
import { waitUntil } from './wait.ts';

/**
 * Windows: a program keeps its working folder, its program file and what it has open, and they are free only some time after
 * its end was told. POSIX: a program that is ending may write a last file beside those that were removed.
 */
const heldCodes: ReadonlySet<string | undefined> = new Set(['EBUSY', 'EPERM', 'EACCES', 'ENOTEMPTY']);

/**
 * Removes the folder with everything in it, as soon as nobody holds any of it. `maxRetries` of `rmSync` is no substitute:
 * Node 22 counts its `retryDelay` in whole seconds on Windows, so it does not wait at all.
 * @throws naming what is held, when it stays held
 */
export async function removeFolder(folder: string): Promise<void> {
  let held: unknown;
  const removed = (): boolean => {
    try {
      rmSync(folder, { recursive: true, force: true });
      return true;
    } catch (error) {
      if (!heldCodes.has((error as NodeJS.ErrnoException).code)) {
        throw error;
      }
      held = error;
      return false;
    }
  };
  try {
    await waitUntil(removed, `${folder} to be free`);
  } catch (error) {
    throw new Error(`${folder} cannot be removed: ${String(held ?? error)}`, { cause: error });
  }
}
