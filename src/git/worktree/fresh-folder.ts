/** The folder of a new worktree, which must not have been there before (spec git.md §6.2). */
import type { SystemCallError } from '../../../platform/errors.ts';
import type { FolderHandle } from '../../../platform/files.ts';
import { entryAt } from '../run/control-files.ts';
import type { GitServices } from '../run/services.ts';
import { noParent, refusing, type WorktreeFailure } from './failures.ts';
import { withRealParent } from './real-path.ts';

/** There is nothing at the path yet. @throws WorktreeFailure */
export async function refuseExisting(path: string, services: GitServices): Promise<void> {
  const found = await entryAt(services.platform.paths.clean(path));
  if (found !== undefined) {
    throw await alreadyThere(path, services);
  }
}

/** Makes the folder, 0777 less umask. @throws WorktreeFailure when it is there already */
export async function createLeaf(
  folder: FolderHandle,
  name: string,
  path: string,
  services: GitServices,
): Promise<void> {
  try {
    await folder.createFolder(Buffer.from(name), 0o777);
  } catch (error) {
    if ((error as SystemCallError).code === 'EEXIST') {
      throw await alreadyThere(path, services);
    }
    throw noParent((error as Error).message);
  }
}

async function alreadyThere(path: string, services: GitServices): Promise<WorktreeFailure> {
  const shown = services.profile.git.create.registrationTests ? await withRealParent(path) : path;
  return refusing('create', `${shown} already exists, and a new worktree is only ever created in a fresh directory`);
}
