/** The daemon's own folder, for its owner only (spec mesh.md §1). */
import { chmodSync } from 'node:fs';
import { HostError } from '../../../platform/errors.ts';
import type { RunDirectories, RunDirectory } from '../../../platform/run-directories.ts';
import { exitCodes, MeshRefusal } from './refusal.ts';

/** Makes it with its parents where it is missing, and closes it to others where it is not. @throws MeshRefusal */
export function openFolder(path: string, runDirectories: RunDirectories): RunDirectory {
  try {
    runDirectories.create(path);
    const directory = runDirectories.open(path);
    chmodSync(path, 0o700);
    return directory;
  } catch (error) {
    if (!(error instanceof HostError)) {
      throw error;
    }
    const remedy = error.remedy.replace('-socket path', 'CLAUDEMESH_CONFIG_DIR');
    throw new MeshRefusal(`${error.message}${remedy === '' ? '' : `; ${remedy}`}`, exitCodes.failed, { cause: error });
  }
}
