/** Whether another install's daemon may be using the shared plugin folders (spec files.md §8 step 7). */

import type { Platform } from '../../platform/platform.ts';
import { pipeFileName, socketName } from '../../platform/published-names.ts';
import { messageOf } from '../base/error-texts.ts';
import { decodeBytes } from '../wire/utf8.ts';
import { failedWith, isMissing } from './system-failures.ts';

const connectMs = 300;

/** Failures of a dial that mean that no daemon listens there. */
const nobodyListens = ['ECONNREFUSED', 'ENOTSOCK', 'EPROTOTYPE', 'ENOENT'];

/**
 * @param runFolder `<X>/run`, which holds a folder for each install
 * @param ownId the install that asks
 * @returns what stands in the way; `undefined`: no other daemon
 */
export async function findSibling(
  runFolder: string,
  ownId: string,
  { files, paths, transport }: Pick<Platform, 'files' | 'paths' | 'transport'>,
): Promise<string | undefined> {
  let ids: string[];
  try {
    const entries = await files.list(runFolder, 'folderOnly');
    ids = entries.sort((a, b) => Buffer.compare(a.name, b.name)).map(({ name }) => decodeBytes(name));
  } catch (error) {
    return `cannot read ${runFolder}: ${messageOf(error)}`;
  }
  for (const id of ids) {
    const found = id === ownId ? undefined : await look(id);
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;

  async function look(id: string): Promise<string | undefined> {
    const folder = `${runFolder}${paths.separator}${id}${paths.separator}`;
    const socketPath = `${folder}${socketName}`;
    try {
      // Where clients go by a file that names a pipe, there is no socket to look at (spec platform.md §3).
      if (!((await exists(socketPath)) || (await exists(`${folder}${pipeFileName}`)))) {
        return undefined;
      }
    } catch (error) {
      return `cannot inspect ${socketPath}: ${messageOf(error)}`;
    }
    try {
      const socket = await transport.dial(socketPath, { timeoutMs: connectMs });
      socket.destroy();
      return `run/${id}/${socketName} answers`;
    } catch (error) {
      if (failedWith(error, ...nobodyListens)) {
        return undefined;
      }
      return `cannot rule out run/${id}/${socketName}: ${messageOf(error)}`;
    }
  }

  async function exists(path: string): Promise<boolean> {
    try {
      await files.statusOfEntry(path);
      return true;
    } catch (error) {
      if (isMissing(error)) {
        return false;
      }
      throw error;
    }
  }
}
